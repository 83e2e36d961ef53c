#!/usr/bin/env python3
"""Checks what the compiler does not: the direction of includes, the size of files, and constructs kept to few files.

1. A file of src/<layer>/ includes only from its own layer and from the layers that the target of
   `sagebrush_layer(<layer> LINK …)` in CMakeLists.txt links, directly or through others.
2. A construct of RULES appears only in the files that its list in tools/lint/ names. The lists may only shrink.
3. A file has at most 600 lines, unless tools/lint/long_files.txt names it.

Every finding is `file:line: message`; the exit status is 1 if there is one. A line of a list that nothing needs any
more is a finding too. Standard library only.
"""

import argparse
import pathlib
import re
import sys

MOST_LINES = 600

# (list in tools/lint/, expression, what to say). Lists name files or folders (ending in /), relative to the root.
RULES = [
    ("system_clock", r"\bsystem_clock::now\b|\bgettimeofday\s*\(|(?<![\w.>:])time\s*\(\s*(?:nullptr|NULL|0)\s*\)",
     "reads the wall clock: take a Clock, or WallClockMs()"),
    ("threads", r"\bstd::(?:thread|jthread|async)\b(?!::)|\bpthread_create\b",
     "makes a thread: use io::Runtime and its blocking pool"),
    ("fork", r"(?<![\w.>])(?:v?fork|clone3?|posix_spawnp?)\s*\(|\bSYS_clone3?\b|\bpopen\s*\(|\bstd::system\s*\(",
     "makes a process: use io::Run or the driver"),
    ("catch_all", r"\bcatch\s*\(\s*\.\.\.\s*\)", "catches everything: third-party exceptions stop at our wrapper, by type"),
    ("regex", r"\bstd::(?:w?regex|regex_\w+)\b|#\s*include\s*<regex>", "uses std::regex: use wire/pattern (PCRE2)"),
    ("beast", r"#\s*include\s*<boost/beast\b", "includes Boost.Beast: HTTP lives in http/"),
    ("protobuf", r"#\s*include\s*<(?:google/protobuf|grpc|grpcpp|tensorflow_serving)/",
     "includes Protocol Buffers or gRPC: they stay in serving/grpc/ and serving/config/"),
    ("sqlite", r"#\s*include\s*<sqlite3\.h>", "includes sqlite3.h: databases are reached through db::Store"),
    ("sleep", r"\b(?:std::this_thread::sleep_(?:for|until)|usleep|nanosleep)\b", "sleeps: wait on a condition"),
]

INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')
TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<mark>[^()\\\s]{0,16})\(.*?\)(?P=mark)"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
TEST_FILE = re.compile(r"(^tests/|_test\.cc$|(^|/)(testing|test_support)\.h$)")  # may make threads: races are their subject
NUMBER_MARK = re.compile(r"(?<=[0-9a-fA-F])'(?=[0-9a-fA-F])")


def read_layers(cmake):
    """{layer: layers that it links, transitively, itself included}, and {layer: generated folder}."""
    direct, generated = {}, {}
    text = re.sub(r"#[^\n]*", "", cmake.read_text())
    for call in re.finditer(r"\bsagebrush_layer\(\s*(\w+)([^)]*)\)", text):
        name, words, section = call.group(1), call.group(2).split(), None
        direct[name] = set()
        for word in words:
            if word in ("LINK", "GENERATED"):
                section = word
            elif section == "GENERATED":
                generated[name] = word
            elif section == "LINK" and word.startswith("sagebrush_"):
                direct[name].add(word.removeprefix("sagebrush_"))
    reach = {}

    def visit(name, path):
        if name in path:
            sys.exit(f"{cmake}: layers link in a circle: {' -> '.join(path + [name])}")
        if name not in direct:
            sys.exit(f"{cmake}: {path[-1]} links sagebrush_{name}, which is no layer")
        if name not in reach:
            reach[name] = {name}.union(*(visit(below, path + [name]) for below in direct[name]))
        return reach[name]

    for name in direct:
        visit(name, [])
    return reach, generated


def blank_out(source):
    """The source with comments and literals emptied, line numbers kept. Includes in quotes are read from the original."""
    def empty(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return TOKEN.sub(empty, NUMBER_MARK.sub(" ", source))


class Checker:
    def __init__(self, root):
        self.root = root
        self.findings = []
        self.reach, generated = read_layers(root / "CMakeLists.txt")
        self.owner = {folder: layer for layer, folder in generated.items()}  # "gen" -> "wire"
        self.lists = {name: self.read_list(name) for name, _, _ in RULES}
        self.lists["long_files"] = self.read_list("long_files")
        self.used = set()
        self.rules = [(name, re.compile(expression), say) for name, expression, say in RULES]

    def read_list(self, name):
        path = self.root / "tools" / "lint" / f"{name}.txt"
        entries = {}
        for number, line in enumerate(path.read_text().splitlines() if path.exists() else [], 1):
            entry = line.split("#")[0].strip()
            if entry:
                entries[entry] = number
        return entries

    def find(self, file, line, message):
        self.findings.append(f"{file}:{line}: {message}")

    def allowed(self, rule, file):
        for entry in self.lists[rule]:
            if file == entry or (entry.endswith("/") and file.startswith(entry)):
                self.used.add((rule, entry))
                return True
        return False

    def layer_of(self, include):
        top = include.split("/")[0]
        if top in self.owner:
            return self.owner[top]
        return top if (self.root / "src" / top).is_dir() else None

    def check_includes(self, file, lines):
        parts = file.split("/")
        layer = parts[1] if parts[0] == "src" and len(parts) > 2 else self.owner.get(parts[0])
        if layer is None:
            return  # apps and tests put everything together
        if layer not in self.reach:
            self.find(file, 1, f"src/{layer} has no sagebrush_layer({layer} …) in CMakeLists.txt")
            return
        for number, line in enumerate(lines, 1):
            match = INCLUDE.match(line)
            included = self.layer_of(match.group(1)) if match else None
            if match and included is None and not (self.root / file).with_name(match.group(1)).exists():
                self.find(file, number, f'"{match.group(1)}" is no file of a layer: include it with <>, or by its '
                                        f"path under src/")
            elif included is not None and included not in self.reach[layer]:
                self.find(file, number, f"{layer} does not link {included}: it may include only "
                                        f"{', '.join(sorted(self.reach[layer]))}")

    def check_constructs(self, file, source):
        code = blank_out(source)
        original = source.splitlines()
        rules = [rule for rule in self.rules if rule[0] != "threads" or not TEST_FILE.search(file)]
        for number, line in enumerate(code.splitlines(), 1):
            # blank_out keeps <…> includes; they are the only includes that the rules speak of.
            for rule, expression, say in rules:
                if expression.search(line) and not self.allowed(rule, file):
                    self.find(file, number, f"{say} (or list the file in tools/lint/{rule}.txt): "
                                            f"{original[number - 1].strip()[:80]}")

    def check_length(self, file, lines):
        if len(lines) > MOST_LINES and not self.allowed("long_files", file):
            self.find(file, MOST_LINES + 1, f"{len(lines)} lines, more than {MOST_LINES}: a sign of two jobs in one file")

    def run(self):
        files = [path for top in ("src", "apps", "tests", *self.owner)
                 for path in sorted((self.root / top).rglob("*")) if path.suffix in (".h", ".cc")]
        for path in files:
            file = path.relative_to(self.root).as_posix()
            source = path.read_text(encoding="utf-8")
            lines = source.splitlines()
            self.check_includes(file, lines)
            if file.split("/")[0] not in self.owner:
                self.check_constructs(file, source)
                self.check_length(file, lines)
        for rule, entries in self.lists.items():
            for entry, number in entries.items():
                if (rule, entry) not in self.used:
                    self.find(f"tools/lint/{rule}.txt", number, f"{entry} no longer needs this line: take it out")
        return len(files)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    checker = Checker(parser.parse_args().root)
    count = checker.run()
    for finding in checker.findings:
        print(finding)
    if checker.findings:
        print(f"check_layers: {len(checker.findings)} findings in {count} files", file=sys.stderr)
        return 1
    print(f"check_layers: {count} files are in order")
    return 0


if __name__ == "__main__":
    sys.exit(main())
