"""Requests a second of the model server against a bare SessionRun loop on the same core: 8 connections, JSON, one image each.

The digits CNN, with and without batching. The figure is the smaller of the two ratios to the bare loop's runs of one
image a second.
"""

import statistics

from harness import Report, Row
from model_server import bare_loop, build_native, digits_body, http_load, model, model_server, onednn_flags

NAME = "serving-throughput"
TARGET = 0.85
CONNECTIONS = 8


def run(smoke):
    rounds, seconds = (1, 0.5) if smoke else (5, 4)
    native, digits = build_native(), model("digits")
    path, body = "/v1/models/digits:predict", digits_body(1)
    sides = {"with batching": [], "without batching": ["--enable_batching", "false"]}
    bare, served = [], {side: [] for side in sides}
    for side, flags in sides.items():
        with model_server({"digits": digits}, *onednn_flags(), *flags) as server:
            http_load(native, server, path, body, CONNECTIONS, 0.5)
            for _ in range(rounds):
                result = bare_loop(native, digits / "1", 1, 1, seconds)
                bare.append(result["runs"] / result["seconds"])
                served[side].append(http_load(native, server, path, body, CONNECTIONS, seconds))
    failures = [result for results in served.values() for result in results if result["failures"]]
    assert not failures, failures[0]["first_failure"]
    rates = {side: [result["requests"] / result["seconds"] for result in results] for side, results in served.items()}
    ratios = {side: statistics.median(values) / statistics.median(bare) for side, values in rates.items()}
    rows = [Row("bare loop", "1/s", bare)] + [Row(side, "1/s", values) for side, values in rates.items()]
    for side, results in served.items():
        rows += [Row(f"{side}: CPU a request", "us", [result["cpu_ms_per_request"] * 1000 for result in results]),
                 Row(f"{side}: p99", "us", [result["p99_us"] for result in results])]
    notes = [f"{side}: {ratio:.2f} of the bare loop" for side, ratio in ratios.items()]
    return Report(NAME, f"digits CNN, {CONNECTIONS} connections, one image a request, one core; figure = the smaller ratio",
                  min(ratios.values()), "ratio", TARGET, rows, notes, at_least=True)
