"""Run with `python3 -m unittest discover -s tools/apigen -p '*_test.py'`."""
import contextlib
import io
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import apigen  # noqa: E402
import cpp  # noqa: E402
import model  # noqa: E402
import source  # noqa: E402


def document(shapes, **operation):
    return {"metadata": {"serviceFullName": "Test", "apiVersion": "1"}, "shapes": shapes,
            "operations": {"Do": {side: {"shape": shape} for side, shape in operation.items()}}}


BASIC = {
    "DoRequest": {"type": "structure", "required": ["Name"],
                  "members": {"Name": {"shape": "Name"}, "Items": {"shape": "Items"}, "Flag": {"shape": "Flag"},
                              "default": {"shape": "Name"}}},
    "Name": {"type": "string", "max": 3, "pattern": "[\"\\\\é]+"},
    "Items": {"type": "list", "member": {"shape": "Item"}},
    "Item": {"type": "structure", "members": {"Item": {"shape": "Count"}}},
    "Count": {"type": "integer", "min": 1},
    "Flag": {"type": "boolean"},
}


class ModelTest(unittest.TestCase):
    def service(self, shapes, overrides=None, **operation):
        return model.Service("test", document(shapes, **operation), ["Do"], overrides or {})

    def refused(self, text, shapes, overrides=None, **operation):
        with self.assertRaisesRegex(model.ModelError, text):
            self.service(shapes, overrides, **(operation or {"input": "DoRequest"}))

    def test_defines_each_shape_after_those_it_needs(self):
        names = list(self.service(BASIC, input="DoRequest").shapes)
        self.assertLess(names.index("Item"), names.index("Items"))
        self.assertLess(names.index("Items"), names.index("DoRequest"))
        self.assertIn("DoResponse", names)  # made for the operation without output

    def test_refuses_what_the_structs_cannot_hold(self):
        self.refused("recursive", {"DoRequest": {"type": "structure", "members": {"Again": {"shape": "DoRequest"}}}})
        self.refused("type blob", {"DoRequest": {"type": "structure", "members": {"Data": {"shape": "Data"}}},
                                   "Data": {"type": "blob"}})
        self.refused("does not understand", {"DoRequest": {"type": "structure", "streaming": True, "members": {}}})
        self.refused("does not understand", {"DoRequest": {"type": "structure", "members": {
            "A": {"shape": "Name", "location": "header"}}}, "Name": {"type": "string"}})
        self.refused("list of booleans", {"DoRequest": {"type": "structure", "members": {"L": {"shape": "L"}}},
                                          "L": {"type": "list", "member": {"shape": "B"}}, "B": {"type": "boolean"}})
        with self.assertRaisesRegex(model.ModelError, "no operation Undo"):
            model.Service("test", document(BASIC, input="DoRequest"), ["Undo"], {})

    def test_refuses_overrides_that_name_nothing(self):
        self.refused("no shape Nothing", BASIC, {"sensitive": ["Nothing"]})
        self.refused("no list or map", BASIC, {"emit_empty": ["DoRequest.Name"]})
        self.refused("unknown keys", BASIC, {"sensitiv": []})


class CppTest(unittest.TestCase):
    def setUp(self):
        self.tree = model.Service("test", document(BASIC, input="DoRequest"), ["Do"],
                                  {"sensitive": ["Name"], "emit_empty": ["DoRequest.Items"]})

    def test_structs(self):
        header = cpp.header(self.tree, "1")
        self.assertIn("  std::string Name;\n  std::vector<test::Item> Items;\n  std::optional<bool> Flag;\n"
                      "  std::optional<std::string> default_;\n", header)
        self.assertIn("std::optional<int64_t> Item;", header)
        self.assertIn("struct DoResponse {\n", header)

    def test_tables(self):
        tables = cpp.tables(self.tree, "1")
        self.assertIn(r'.max = 3, .pattern = "[\"\\\\\303\251]+", .sensitive = true', tables)
        self.assertIn('("Name", &kNameShape, Presence::kRequired)', tables)
        self.assertIn('("Items", &kItemsShape, Presence::kEmitEmpty)', tables)
        self.assertIn('DescribeMember<&DoRequest::default_>("default"', tables)

    def test_output_is_the_same_every_time(self):
        self.assertEqual(cpp.tables(self.tree, "1"), cpp.tables(self.tree, "1"))


class CheckTest(unittest.TestCase):
    def test_notices_changed_missing_and_foreign_files(self):
        with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(io.StringIO()):
            directory = pathlib.Path(name)
            (directory / "a.h").write_text("one\n")
            self.assertTrue(apigen.check({"a.h": "one\n"}, directory))
            self.assertFalse(apigen.check({"a.h": "two\n"}, directory))
            self.assertFalse(apigen.check({"a.h": "one\n", "b.h": "x\n"}, directory))
            self.assertFalse(apigen.check({}, directory))

    def test_a_model_that_is_not_the_pinned_one_is_refused(self):
        pin = {"version": "1", "models": {"test": {"path": "data/m.json", "sha256": "0" * 64}}}
        with tempfile.TemporaryDirectory() as name:
            package = pathlib.Path(name)
            (package / "data").mkdir()
            (package / "data/m.json").write_text("{}")
            with source.open_botocore(pin, package, package) as read:
                with self.assertRaisesRegex(source.SourceError, "not the one that idl/botocore.toml pins"):
                    read("test")


if __name__ == "__main__":
    unittest.main()
