"""What the metrics of an invocation cost: seven values of an endpoint's variant, recorded from two threads at once.

The figure is invocations recorded a second; the target is a hundred times what an engine serves. Beside it: writing
down the second's values of a hundred variants (700 metrics, one commit), and reading a day of one metric by the minute
with percentiles.
"""

import json
import os
import pathlib
import statistics
import subprocess

from harness import Report, Row

NAME = "metrics-record"
TARGET = 2_000_000
THREADS = 2
RUNS = 7


def program():
    """The benchmark's own program, which no other build needs."""
    build = pathlib.Path(os.environ["SAGEBRUSH_BUILD"])
    subprocess.run(["cmake", "--build", build, "--target", "metrics_record"], check=True, stdout=subprocess.DEVNULL)
    return build / "metrics_record"


def run(smoke):
    binary, invocations, runs = program(), 10_000 if smoke else 1_000_000, 1 if smoke else RUNS
    reports = [json.loads(subprocess.run([binary, str(THREADS), str(invocations)], check=True, capture_output=True,
                                         text=True).stdout) for _ in range(runs)]
    rates = [report["invocations_per_second"] for report in reports]
    rows = [Row("one invocation", "ns", [1e9 / rate for rate in rates]),
            Row("write down 700 metrics", "ms", [1000 * report["flush_seconds"] for report in reports]),
            Row("read a day by the minute", "ms", [1000 * report["query_seconds"] for report in reports])]
    return Report(NAME, "invocations recorded a second", statistics.median(rates), "1/s", TARGET, rows, at_least=True)
