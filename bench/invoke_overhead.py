"""InvokeEndpoint through the engine against the same server of the same instance called directly.

Signatures are verified. One connection for the latency, eight for the throughput; the load generator runs in the
instance's network for the direct calls. The figure is what the engine adds to the p50.
"""

import statistics

from endpoints import Load, create, digits_endpoints
from harness import Report, Row

NAME = "invoke-overhead"
TARGET_US = 150
THROUGHPUT_TARGET = 0.8


def run(smoke):
    rounds, seconds = (1, 0.5) if smoke else (5, 4)
    engine, direct, engine_rate, direct_rate = [], [], [], []
    with digits_endpoints() as (endpoints, digits):
        name, _ = create(endpoints, endpoints.config({"ModelName": digits, "InstanceType": "ml.c5.xlarge"}))
        load = Load(endpoints, name)
        load.through_engine(8, 0.5)
        for _ in range(rounds):
            direct.append(load.direct(1, seconds))
            engine.append(load.through_engine(1, seconds))
            direct_rate.append(load.direct(8, seconds))
            engine_rate.append(load.through_engine(8, seconds))
        load.close()
    for result in engine + direct + engine_rate + direct_rate:
        assert result["failures"] == 0, result["first_failure"]

    def rates(results):
        return [result["requests"] / result["seconds"] for result in results]

    added = statistics.median(one["p50_us"] for one in engine) - statistics.median(one["p50_us"] for one in direct)
    ratio = statistics.median(rates(engine_rate)) / statistics.median(rates(direct_rate))
    rows = [Row("direct, 1 connection: p50", "us", [one["p50_us"] for one in direct]),
            Row("engine, 1 connection: p50", "us", [one["p50_us"] for one in engine]),
            Row("direct, 8 connections", "1/s", rates(direct_rate)), Row("engine, 8 connections", "1/s", rates(engine_rate)),
            Row("engine, 8 connections: p99", "us", [one["p99_us"] for one in engine_rate])]
    notes = [f"Throughput at 8 connections: {ratio:.2f} of the direct one (target {THROUGHPUT_TARGET})."]
    return Report(NAME, "digits CNN, one image a request; figure = p50 through the engine - p50 direct", added, "us", TARGET_US,
                  rows, notes)
