"""Prints "passed failed skipped" of a GoogleTest JSON or a JUnit XML report.

usage: count_results.py gtest|junit REPORT EXIT_CODE
A run that ended badly without a report, or whose report holds no failure to explain a non-zero exit, counts as one.
"""

import json
import pathlib
import sys
import xml.etree.ElementTree as ElementTree

PYTEST_NO_TESTS = 5


def count_gtest(report):
    passed = failed = skipped = 0
    for suite in json.loads(report.read_text())["testsuites"]:
        for case in suite["testsuite"]:
            if case.get("failures"):
                failed += 1
            elif case.get("result") == "SKIPPED":
                skipped += 1
            elif case.get("status") == "RUN":
                passed += 1
    return passed, failed, skipped


def count_junit(report):
    passed = failed = skipped = 0
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def main():
    kind, report, code = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
    try:
        passed, failed, skipped = (count_gtest if kind == "gtest" else count_junit)(report)
    except (OSError, ValueError, KeyError, ElementTree.ParseError):
        passed, failed, skipped = 0, 0, 0
    if code != 0 and failed == 0 and not (kind == "junit" and code == PYTEST_NO_TESTS):
        failed = 1
    print(passed, failed, skipped)


if __name__ == "__main__":
    main()
