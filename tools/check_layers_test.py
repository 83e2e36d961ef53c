"""Tests of check_layers.py on small trees made for the purpose: python3 -m unittest discover -s tools -p '*_test.py'."""

import contextlib
import io
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import check_layers  # noqa: E402

CMAKE = """
sagebrush_layer(base LINK fmt::fmt)  # sagebrush_db in a comment links nothing
sagebrush_layer(io   LINK sagebrush_base
                          Boost::headers)
sagebrush_layer(wire LINK sagebrush_io GENERATED gen)
sagebrush_layer(db   LINK sagebrush_io)
"""


class CheckLayersTest(unittest.TestCase):
    def findings(self, files, cmake=CMAKE):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            (root / "CMakeLists.txt").write_text(cmake)
            for layer in ("base", "io", "wire", "db"):
                (root / "src" / layer).mkdir(parents=True)
            for name, text in files.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text)
            checker = check_layers.Checker(root)
            checker.run()
            return checker.findings

    def assert_finds(self, files, *beginnings):
        found = self.findings(files)
        self.assertEqual(len(found), len(beginnings), found)
        for line, beginning in zip(found, beginnings):
            self.assertTrue(line.startswith(beginning), line)

    def test_linked_layers_may_be_included_also_through_others(self):
        self.assert_finds({"src/db/a.cc": '#include "base/x.h"\n#include "io/y.h"\n#include "db/z.h"\n'})
        self.assert_finds({"gen/a.cc": '#include "wire/shape.h"\n', "src/wire/b.cc": '#include "gen/a.h"\n'})

    def test_a_layer_that_is_not_linked_is_a_finding_with_its_line(self):
        self.assert_finds({"src/base/a.cc": '\n#include "io/y.h"\n'}, "src/base/a.cc:2: base does not link io")
        self.assert_finds({"src/db/a.cc": '#include "gen/a.h"\n'}, "src/db/a.cc:1: db does not link wire")
        self.assert_finds({"src/db/a.cc": '#include "nowhere.h"\n'}, "src/db/a.cc:1: ")
        self.assert_finds({"src/extra/a.cc": "\n"}, "src/extra/a.cc:1: src/extra has no sagebrush_layer")

    def test_constructs_are_found_in_code_only(self):
        code = [
            "std::thread worker;", "int id = ::fork();", "try { } catch ( ... ) { }", "std::regex r;",
            "auto now = std::chrono::system_clock::now();", "auto t = time(nullptr);", "#include <sqlite3.h>",
            "#include <boost/beast/core.hpp>", "std::this_thread::sleep_for(a);", "syscall(SYS_clone3, 1);",
        ]
        self.assert_finds({"src/base/a.cc": "\n".join(code)}, *(f"src/base/a.cc:{i}: " for i in range(1, 11)))
        harmless = [
            "// std::thread, fork()", '/* catch (...)\n */ const char* a = "std::regex fork()";', 'auto b = R"(fork())";',
            "int c = 1'000'000; char d = '\"'; // fork()", "child.fork(); std::thread::hardware_concurrency();",
        ]
        self.assert_finds({"src/base/a.cc": "\n".join(harmless)})

    def test_lists_allow_and_may_only_shrink(self):
        files = {"src/base/a.cc": "int id = fork();\n", "src/db/b.cc": "int id = fork();\n",
                 "tools/lint/fork.txt": "# why\nsrc/base/a.cc\nsrc/db/\n"}
        self.assert_finds(files)
        del files["src/db/b.cc"]
        self.assert_finds(files, "tools/lint/fork.txt:3: src/db/ no longer needs")

    def test_tests_may_make_threads(self):
        self.assert_finds({"src/db/a_test.cc": "std::jthread a;\n"})
        self.assert_finds({"src/db/a_test.cc": "fork();\n"}, "src/db/a_test.cc:1: ")

    def test_long_files(self):
        self.assert_finds({"src/io/a.cc": "int x;\n" * 600})
        self.assert_finds({"src/io/a.cc": "int x;\n" * 601}, "src/io/a.cc:601: 601 lines")
        self.assert_finds({"gen/a.cc": "int x;\n" * 601})

    def test_layers_in_a_circle_end_the_check(self):
        with self.assertRaises(SystemExit), contextlib.redirect_stderr(io.StringIO()):
            self.findings({}, "sagebrush_layer(base LINK sagebrush_io)\nsagebrush_layer(io LINK sagebrush_base)\n")


if __name__ == "__main__":
    unittest.main()
