"""kill -9 of an instance, then of the engine, under load: how long until requests are answered again.

An endpoint of two instances, asked by one caller without retries. After an instance's death the other one answers; after
the engine's death a new engine is started at once. Failed requests are counted; after the recovery there may be none.
"""

import http.client
import os
import signal
import threading
import time
import urllib.parse

from endpoints import create, digits_endpoints, signed_headers
from harness import Report, Row
from model_server import digits_body
from support.waiting import wait_until

NAME = "endpoint-recovery"
TARGET_S = 1
QUIET_S = 1.0  # without a failure: recovered


class Caller:
    """Asks again and again until it is stopped; remembers when requests failed."""

    def __init__(self, endpoints, name):
        self.endpoints, self.path, self.body = endpoints, f"/endpoints/{name}/invocations", digits_body(1)
        self.failed, self.answered, self.stopping = [], [], False
        self.thread = threading.Thread(target=self._ask)
        self.thread.start()

    def _ask(self):
        headers = signed_headers(self.endpoints, self.path, self.body) | {"Content-Type": "application/json"}
        address = urllib.parse.urlsplit(self.endpoints.jobs.engine.endpoint).netloc
        connection = http.client.HTTPConnection(address, timeout=10)
        while not self.stopping:
            try:
                connection.request("POST", self.path, self.body, headers)
                reply = connection.getresponse()
                reply.read()
                good = reply.status == 200
            except (OSError, http.client.HTTPException):
                connection.close()
                good = False
            (self.answered if good else self.failed).append(time.monotonic())

    def recovery(self, since):
        """Failures since then, and seconds until the first answer after the last of them."""
        wait_until(lambda: time.monotonic() - max(self.failed[-1:] + [since]) > QUIET_S and self.answered[-1] > since, 60,
                   "the endpoint to recover")
        failures = [at for at in self.failed if at >= since]
        if not failures:
            return 0, 0.0
        return len(failures), next(at for at in self.answered if at > failures[-1]) - since

    def stop(self):
        self.stopping = True
        self.thread.join()


def run(smoke):
    rounds = 1 if smoke else 5
    times, counts = {"instance": [], "engine": []}, {"instance": [], "engine": []}
    with digits_endpoints() as (endpoints, digits):
        name, _ = create(endpoints, endpoints.config({"ModelName": digits, "InitialInstanceCount": 2}))
        caller = Caller(endpoints, name)
        try:
            wait_until(lambda: len(caller.answered) > 100, 60, "the load to run")
            for _ in range(rounds):
                began = time.monotonic()
                os.kill(endpoints.agents(name)[0], signal.SIGKILL)
                failures, seconds = caller.recovery(began)
                counts["instance"].append(failures)
                times["instance"].append(seconds)
                wait_until(lambda: len(endpoints.agents(name)) == 2, 60, "the instance to be replaced")
                began = time.monotonic()
                endpoints.jobs.engine.kill()
                endpoints.jobs.engine.start()
                failures, seconds = caller.recovery(began)
                counts["engine"].append(failures)
                times["engine"].append(seconds)
        finally:
            caller.stop()
    rows = [Row(f"kill -9 of the {what}: recovered after", "s", times[what]) for what in times]
    rows += [Row(f"kill -9 of the {what}: failed requests", "", counts[what]) for what in counts]
    return Report(NAME, "digits CNN, two instances, one caller; figure = the longest recovery", max(times["instance"] + times["engine"]),
                  "s", TARGET_S, rows)
