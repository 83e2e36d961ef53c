"""UpdateEndpoint under a steady load of 200 requests a second: the p99 while it goes on against the steady one.

No request may fail. The new fleet is of the same model, so that every answer stays the same.
"""

import statistics
import time

from endpoints import Load, create, digits_endpoints
from harness import Report, Row
from model_server import digits_body

NAME = "endpoint-update"
TARGET = 1.5
RATE = 200


def run(smoke):
    rounds, seconds = (1, 2) if smoke else (5, 10)
    steady, updating, took = [], [], []
    with digits_endpoints() as (endpoints, digits):
        name, _ = create(endpoints, endpoints.config({"ModelName": digits, "InstanceType": "ml.c5.xlarge"}))
        load = Load(endpoints, name, digits_body(1))
        load.through_engine(8, 0.5, RATE)
        for _ in range(rounds):
            steady.append(load.through_engine(8, seconds, RATE))
            config = endpoints.config({"ModelName": digits, "InstanceType": "ml.c5.xlarge"})
            outcome = load.start(8, seconds, RATE)
            began = time.monotonic()
            endpoints.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=config)
            description = endpoints.settled(name)
            took.append(time.monotonic() - began)
            assert description["EndpointConfigName"] == config, description
            updating.append(outcome())
        load.close()
    failures = [result for result in steady + updating if result["failures"]]
    p99 = {"steady": [one["p99_us"] for one in steady], "with an update": [one["p99_us"] for one in updating]}
    figure = statistics.median(p99["with an update"]) / statistics.median(p99["steady"])
    rows = [Row(f"{label}: p99", "us", values) for label, values in p99.items()] + [Row("UpdateEndpoint to InService", "s", took)]
    notes = [f"Failed requests: {sum(result['failures'] for result in failures)} of "
             f"{sum(result['requests'] for result in steady + updating)}."]
    assert not failures, failures[0]["first_failure"]
    return Report(NAME, f"digits CNN, {RATE} requests a second; figure = p99 of {seconds} s with an update / steady p99", figure,
                  "ratio", TARGET, rows, notes)
