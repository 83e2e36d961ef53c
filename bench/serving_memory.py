"""What the model server's process holds beyond TensorFlow's library and the model, and how long it takes to the first answer.

The other side is a process that loads the same library and model and runs it once: the bare loop.
"""

import pathlib
import re
import statistics
import subprocess
import time

from harness import Report, Row
from model_server import (SERVER_CORES, build_native, digits_body, http_load, model, model_server, onednn, onednn_flags,
                          pinned, tensorflow_folder)

NAME = "serving-memory"
TARGET_MIB = 30
MIB = 2**20


def bare_peak_bytes(native, version):
    """The resident size of a bare loop in its last moments."""
    command = [native / "bench-bare-loop", tensorflow_folder(), version, 1, 1, 1, 1, -1, onednn()]
    process = subprocess.Popen(pinned(SERVER_CORES, command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    resident = 0
    while process.poll() is None:
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        resident = max(resident, int(found.group(1)) * 1024 if found else 0)
        time.sleep(0.01)
    return resident


def run(smoke):
    rounds = 1 if smoke else 5
    native, digits = build_native(), model("digits")
    bare, served, first = [], [], []
    for _ in range(rounds):
        bare.append(bare_peak_bytes(native, digits / "1") / MIB)
        with model_server({"digits": digits}, *onednn_flags()) as server:
            http_load(native, server, "/v1/models/digits:predict", digits_body(1), 1, 0.01)
            first.append(time.monotonic() - server.started)
            http_load(native, server, "/v1/models/digits:predict", digits_body(1), 8, 1)
            served.append(server.resident_bytes() / MIB)
    figure = statistics.median(served) - statistics.median(bare)
    rows = [Row("bare loop: resident", "MiB", bare), Row("server under load: resident", "MiB", served),
            Row("start to first answer", "s", first)]
    return Report(NAME, "digits CNN; figure = resident size of the server - that of a bare process with library and model",
                  figure, "MiB", TARGET_MIB, rows)
