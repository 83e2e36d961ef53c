"""The part of one service's model that its operations reach, in an order in which C++ can define it."""

_SCALARS = {"string", "integer", "long", "float", "double", "boolean", "timestamp"}
_KNOWN_SHAPE_TRAITS = {"type", "members", "required", "member", "key", "value", "enum", "min", "max", "pattern",
                       "sensitive", "documentation", "box", "union", "deprecated", "deprecatedMessage", "exception",
                       "xmlOrder"}  # replies are read by name
_KNOWN_MEMBER_TRAITS = {"shape", "documentation", "box", "deprecated", "deprecatedMessage", "idempotencyToken"}


class ModelError(Exception):
    pass


class Operation:
    def __init__(self, name, request, reply):
        self.name, self.request, self.reply = name, request, reply


class Service:
    """shapes: name -> definition, each after those it refers to."""

    def __init__(self, name, document, operations, overrides):
        self.name = name
        self.full_name = document["metadata"]["serviceFullName"]
        self.version = document["metadata"]["apiVersion"]
        self._all = document["shapes"]
        self.shapes = {}
        self.operations = []
        for operation in operations:
            self._add_operation(operation, document["operations"])
        self._apply(overrides)

    def _add_operation(self, name, definitions):
        if name not in definitions:
            raise ModelError(f"{self.name} has no operation {name}.")
        sides = []
        for side, suffix in (("input", "Request"), ("output", "Response")):
            shape = definitions[name].get(side, {}).get("shape")
            if shape is None:  # an operation without input or output still gets a (empty) type of its own
                shape = name + suffix
                if shape in self._all:
                    raise ModelError(f"{self.name}.{name} has no {side}, but a shape {shape} exists.")
                self.shapes.setdefault(shape, {"type": "structure", "members": {}})
            else:
                self._visit(shape, [])
            sides.append(shape)
        self.operations.append(Operation(name, *sides))

    def _visit(self, name, path):
        if name in path:
            raise ModelError(f"{self.name}: {' -> '.join(path + [name])} is recursive, which the structs cannot hold.")
        if name in self.shapes:
            return
        shape = self._all[name]
        where = f"{self.name}.{name}"
        self._refuse_unknown(where, shape, _KNOWN_SHAPE_TRAITS)
        references = []
        for member, target in shape.get("members", {}).items():
            self._refuse_unknown(f"{where}.{member}", target, _KNOWN_MEMBER_TRAITS)
            references.append(target["shape"])
        for part in ("key", "member", "value"):
            if part in shape:
                self._refuse_unknown(f"{where}.{part}", shape[part], _KNOWN_MEMBER_TRAITS)
                references.append(shape[part]["shape"])
        if shape["type"] not in _SCALARS | {"structure", "list", "map"}:
            raise ModelError(f"{where} has type {shape['type']}, which apigen cannot express yet.")
        if shape["type"] == "list" and self._all[shape["member"]["shape"]]["type"] == "boolean":
            raise ModelError(f"{where} is a list of booleans, which std::vector<bool> cannot refer into.")
        if shape["type"] == "map" and self._all[shape["key"]["shape"]]["type"] != "string":
            raise ModelError(f"{where} is a map whose key is no string.")
        for target in references:
            self._visit(target, path + [name])
        self.shapes[name] = dict(shape)

    @staticmethod
    def _refuse_unknown(where, definition, known):
        unknown = set(definition) - known
        if unknown:
            raise ModelError(f"{where} has traits that apigen does not understand: {sorted(unknown)}")

    def _apply(self, overrides):
        unknown = set(overrides) - {"sensitive", "emit_empty"}
        if unknown:
            raise ModelError(f"idl/overrides.toml: {self.name} has unknown keys {sorted(unknown)}")
        for name in overrides.get("sensitive", []):
            if name not in self.shapes:
                raise ModelError(f"idl/overrides.toml: {self.name} uses no shape {name}")
            self.shapes[name]["sensitive"] = True
        self.emit_empty = set(overrides.get("emit_empty", []))
        for path in self.emit_empty:
            structure, _, member = path.partition(".")
            target = self.shapes.get(structure, {}).get("members", {}).get(member, {}).get("shape")
            if target is None or self.shapes[target]["type"] not in ("list", "map"):
                raise ModelError(f"idl/overrides.toml: {self.name} has no list or map {path}")

    def structures(self):
        return [(name, shape) for name, shape in self.shapes.items() if shape["type"] == "structure"]
