"""InvokeEndpoint through the engine against the same server of the same instance called directly.

Signatures are verified. One connection for the latency, eight for the throughput; the load generator runs in the
instance's network for the direct calls. The figure is what the engine adds to the p50 of the digits CNN, whose run takes
about a tenth of a millisecond: what is measured is mostly the way there and back. ResNet50, with some 80 ms, shows what
is left of that for a model of today's size; its request of more than a megabyte is passed on while it comes.
"""

import statistics

from endpoints import Load, create, digits_endpoints, packed
from harness import Report, Row
from model_server import digits_body, image_body

NAME = "invoke-overhead"
TARGET_US = 150
THROUGHPUT_TARGET = 0.8


class Measured:
    """The figures of one model, in rounds: direct and through the engine, with one connection and with eight."""

    def __init__(self, endpoints, model, body):
        name, _ = create(endpoints, endpoints.config({"ModelName": model, "InstanceType": "ml.c5.xlarge"}))
        self.load = Load(endpoints, name, body)
        self.load.through_engine(8, 0.5)
        self.latency, self.throughput = {"direct": [], "engine": []}, {"direct": [], "engine": []}

    def round(self, seconds):
        for connections, results in ((1, self.latency), (8, self.throughput)):
            results["direct"].append(self.load.direct(connections, seconds))
            results["engine"].append(self.load.through_engine(connections, seconds))

    def close(self):
        self.load.close()
        for result in [one for results in (self.latency, self.throughput) for each in results.values() for one in each]:
            assert result["failures"] == 0, result["first_failure"]

    def p50(self, way):
        return [one["p50_us"] for one in self.latency[way]]

    def rates(self, way):
        return [one["requests"] / one["seconds"] for one in self.throughput[way]]

    def added_us(self):
        return statistics.median(self.p50("engine")) - statistics.median(self.p50("direct"))

    def ratio(self):
        return statistics.median(self.rates("engine")) / statistics.median(self.rates("direct"))

    def rows(self, label):
        return [Row(f"{label}: {way}, 1 connection: p50", "us", self.p50(way)) for way in self.latency] + [
            Row(f"{label}: {way}, 8 connections", "1/s", self.rates(way)) for way in self.throughput]


def run(smoke):
    rounds, seconds = (1, 0.5) if smoke else (5, 4)
    with digits_endpoints() as (endpoints, digits):
        resnet = endpoints.model(endpoints.jobs.put("resnet50/model.tar.gz", packed("resnet50")))
        measured = {"digits": Measured(endpoints, digits, digits_body(1)),
                    "ResNet50": Measured(endpoints, resnet, image_body())}
        for _ in range(rounds):
            for one in measured.values():
                one.round(seconds)
        for one in measured.values():
            one.close()
    rows = [row for label, one in measured.items() for row in one.rows(label)]
    notes = [f"{label}: throughput at 8 connections {one.ratio():.2f} of the direct one (target {THROUGHPUT_TARGET})."
             for label, one in measured.items()]
    return Report(NAME, "one image a request; figure = digits CNN's p50 through the engine - p50 direct",
                  measured["digits"].added_us(), "us", TARGET_US, rows, notes)
