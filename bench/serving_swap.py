"""The 99th percentile during a swap of versions under load against the steady one, and whether any request fails.

A steady load of single images while new versions of the model appear, are loaded, warmed up and take over, and old ones
are unloaded. Latencies count from the moment a request was due.
"""

import concurrent.futures
import shutil
import statistics
import subprocess
import tempfile
import pathlib
import time
import urllib.request
import json

from harness import Report, Row
from model_server import build_native, digits_body, http_load, model, model_server, onednn_flags

NAME = "serving-swap"
TARGET = 1.2
RATE, CONNECTIONS, SWAP_EVERY = 200, 8, 2.0


def publish(source, models, version):
    """A new version, complete at once. The copying gives way to both sides, for it is no part of what is measured."""
    scratch = models / f".making-{version}"
    subprocess.run(["nice", "-n", "19", "cp", "-r", source, scratch], check=True)
    scratch.rename(models / str(version))


def newest_available(server):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.ports['rest']}/v1/models/digits") as reply:
        statuses = json.load(reply)["model_version_status"]
    return max((int(status["version"]) for status in statuses if status["state"] == "AVAILABLE"), default=0)


def run(smoke):
    rounds, seconds = (1, 3) if smoke else (3, 20)
    native, source = build_native(), model("digits") / "1"
    models = pathlib.Path(tempfile.mkdtemp(prefix="sagebrush-bench-models-"))
    steady, swapping, version = [], [], 1
    publish(source, models, version)
    try:
        with model_server({"digits": models}, *onednn_flags(), "--file_system_poll_wait_seconds", "0.1") as server, \
                concurrent.futures.ThreadPoolExecutor(1) as pool:
            path, body = "/v1/models/digits:predict", digits_body(1)
            for _ in range(rounds):
                steady.append(http_load(native, server, path, body, CONNECTIONS, seconds, rate=RATE))
                load = pool.submit(http_load, native, server, path, body, CONNECTIONS, seconds, rate=RATE)
                while not load.done():
                    version += 1
                    publish(source, models, version)
                    while newest_available(server) < version:
                        time.sleep(0.05)
                    concurrent.futures.wait([load], SWAP_EVERY)
                swapping.append(load.result())
    finally:
        shutil.rmtree(models)
    failures = sum(result["failures"] for result in steady + swapping)
    p99 = [[result["p99_us"] for result in results] for results in (steady, swapping)]
    figure = statistics.median(p99[1]) / statistics.median(p99[0])
    rows = [Row("steady: p99", "us", p99[0]), Row("during swaps: p99", "us", p99[1])]
    notes = [f"{version - 1} swaps, {failures} failed requests (target 0)."]
    if failures:
        figure = float("inf")
    return Report(NAME, f"{RATE} requests a second, a new version every {SWAP_EVERY:g} s; figure = p99 during swaps / steady p99",
                  figure, "ratio", TARGET, rows, notes)
