"""Requests a second of the model server against servers that pip installs: MLServer, Ray Serve and Triton by pytriton.

The digits model on one core, 8 connections, JSON, one image and 32 images a request. Every server runs with and without
oneDNN and with and without batching, and its best is compared, at each size. The figure is the smaller of ratio / 6 at
one image and ratio / 3 at 32, each to the best of the others.
"""

import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid

from harness import Report, Row
from model_server import (CLOCK_TICKS, ROOT, SERVER_CORES, bare_loop, build_native, digits_body, http_load, model, model_server,
                          onednn_flags, pinned)

NAME = "serving-peers"
WANTED = {1: 6, 32: 3}  # rows of a request: times the best peer's requests a second
CONNECTIONS = 8
START_DEADLINE = 180
LIGHTEST = "MLServer"  # all that a smoke run installs: the others take another half a gigabyte
MARK = "SAGEBRUSH_BENCH_PEER"  # in the environment of all processes of a peer


def flat_body(rows):
    """The same images in the flat form of the Open Inference Protocol, which MLServer and Triton speak."""
    random.seed(3)
    pixels = [round(random.random(), 7) for _ in range(rows * 28 * 28)]
    inputs = [{"name": "images", "shape": [rows, 28, 28, 1], "datatype": "FP32", "data": pixels}]
    return json.dumps({"inputs": inputs}, separators=(",", ":")).encode()


@dataclasses.dataclass(frozen=True)
class Kind:
    program: str
    path: str
    body: object


PEERS = {"MLServer": Kind("mlserver_peer.py", "/v2/models/digits/infer", flat_body),
         "Ray Serve": Kind("ray_peer.py", "/predict", digits_body),
         "pytriton": Kind("pytriton_peer.py", "/v2/models/digits/infer", flat_body)}


class DoesNotRun(Exception):
    """Why a peer cannot be measured on this machine."""


def peers_python(smoke):
    environment = "peers-smoke" if smoke else "peers"
    subprocess.run(["bash", ROOT / "tools/python_env.sh", environment], check=True, stdout=subprocess.DEVNULL)
    return ROOT / ".sagebrush" / environment / "bin/python"


class Peer:
    """A peer's processes, however many it makes, on the server's core. As a Server, it takes http_load."""

    def __init__(self, kind, python, version, onednn, batching):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="sagebrush-peer-"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.ports = {"rest": probe.getsockname()[1]}
        self.mark = f"{MARK}={uuid.uuid4()}"
        environment = os.environ | dict([self.mark.split("=")]) | {
            "TMPDIR": str(self.directory), "TF_ENABLE_ONEDNN_OPTS": onednn, "TF_CPP_MIN_LOG_LEVEL": "2",
            "RAY_USAGE_STATS_ENABLED": "0"}
        command = [python, ROOT / "bench/peers" / kind.program, version, self.ports["rest"], int(batching)]
        with open(self.directory / "log", "w") as log:
            self.process = subprocess.Popen(pinned(SERVER_CORES, command), stdout=log, stderr=log, env=environment,
                                            start_new_session=True)
        try:
            self.await_answer(kind)
        except BaseException:
            self.close()
            raise

    def await_answer(self, kind):
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports['rest']}{kind.path}", kind.body(1),
                                         {"Content-Type": "application/json"})
        deadline, refusal = time.monotonic() + START_DEADLINE, ""
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise DoesNotRun(f"it ended with code {self.process.returncode}: {self.last_words()}")
            try:
                with urllib.request.urlopen(request, timeout=START_DEADLINE) as reply:
                    scores = json.load(reply)
                assert "predictions" in scores or len(scores["outputs"][0]["data"]) == 10, scores
                return
            except (OSError, urllib.error.HTTPError) as not_yet:
                refusal = str(not_yet)
            time.sleep(0.1)
        raise DoesNotRun(f"no answer in {START_DEADLINE} s ({refusal}): {self.last_words()}")

    def last_words(self):
        lines = [line.strip() for line in (self.directory / "log").read_text(errors="replace").splitlines()]
        return " / ".join([line for line in lines if line][-8:])[-1000:]

    def processes(self):
        for entry in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                if entry.name.isdigit() and self.mark.encode() in (entry / "environ").read_bytes().split(b"\0"):
                    yield int(entry.name)

    def cpu_seconds(self):
        ticks = 0
        for process in self.processes():
            with contextlib.suppress(OSError):
                fields = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / CLOCK_TICKS

    def close(self):
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        for process in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


@contextlib.contextmanager
def peer(*arguments):
    started = Peer(*arguments)
    try:
        yield started
    finally:
        started.close()


def loads(native, server, path, body, rounds, seconds):
    """{rows: results of the rounds}; a failed request is no result."""
    results = {}
    for rows in WANTED:
        http_load(native, server, path, body(rows), CONNECTIONS, min(1, seconds))
        results[rows] = [http_load(native, server, path, body(rows), CONNECTIONS, seconds) for _ in range(rounds)]
        failed = next((result for result in results[rows] if result["failures"]), None)
        if failed:
            raise DoesNotRun(f"{failed['failures']} requests failed: {failed['first_failure']}")
    return results


def rate(results):
    return statistics.median(result["requests"] / result["seconds"] for result in results)


def measure(native, python, smoke, missing):
    """{contender: {setting: {rows: results}}}; what does not run goes to `missing`."""
    rounds, seconds = (1, 0.5) if smoke else (3, 3)
    settings = [("1", True)] if smoke else list(itertools.product("01", (True, False)))
    digits = model("digits")
    peers = {LIGHTEST: PEERS[LIGHTEST]} if smoke else PEERS
    measured = {name: {} for name in ["Sagebrush", *peers]}
    for onednn, batching in settings:
        setting = f"oneDNN {'on' if onednn == '1' else 'off'}, {'' if batching else 'no '}batching"
        flags = onednn_flags(onednn) + ([] if batching else ["--enable_batching", "false"])
        with model_server({"digits": digits}, *flags) as server:
            measured["Sagebrush"][setting] = loads(native, server, "/v1/models/digits:predict", digits_body, rounds,
                                                   seconds)
        for name, kind in peers.items():
            for last in (False, True):
                try:
                    with peer(kind, python, digits / "1", onednn, batching) as server:
                        measured[name][setting] = loads(native, server, kind.path, kind.body, rounds, seconds)
                    break
                except DoesNotRun as why:  # at the first time it may be a port that another program has just taken
                    if last:
                        missing.append(f"NOT COMPARED: {name} ({setting}) does not run here: {why}")
                        print(missing[-1], file=sys.stderr)
    return measured


def run(smoke):
    native, python, missing = build_native(), peers_python(smoke), []
    measured = measure(native, python, smoke, missing)
    absent = [name for name, settings in measured.items() if not settings]
    if len(absent) >= len(measured) - 1:
        sys.exit("There is nothing to compare with.\n" + "\n".join(missing))
    rows, notes, shares = [], missing, []
    for count, wanted in WANTED.items():
        rates, bests = {}, {}
        for name, settings in measured.items():
            if not settings:
                continue
            setting = max(settings, key=lambda candidate: rate(settings[candidate][count]))
            best = settings[setting][count]
            rates[name], bests[name] = rate(best), best
            label = f"batch {count}, {name}"
            rows += [Row(label, "1/s", [result["requests"] / result["seconds"] for result in best]),
                     Row(f"{label}: CPU a request", "us", [result["cpu_ms_per_request"] * 1000 for result in best]),
                     Row(f"{label}: p50", "ms", [result["p50_us"] / 1000 for result in best]),
                     Row(f"{label}: p99", "ms", [result["p99_us"] / 1000 for result in best])]
            notes.append(f"{label}: best with {setting}")
        best_peer = max((name for name in rates if name != "Sagebrush"), key=rates.get)
        ratio = rates["Sagebrush"] / rates[best_peer]
        shares.append(ratio / wanted)
        bare = bare_loop(native, model("digits") / "1", count, 1, 0.5 if smoke else 3)
        rows.append(Row(f"batch {count}, bare loop: CPU a run", "us", [bare["cpu_ms_per_run"] * 1000]))
        cpu = {name: statistics.median(result["cpu_ms_per_request"] for result in best) for name, best in bests.items()}
        notes.append(f"batch {count}: {ratio:.2f} times {best_peer} (target {wanted}); by CPU time a request "
                     f"{cpu[best_peer] / cpu['Sagebrush']:.2f} times; a server that cost nothing beside the model would be at "
                     f"{cpu[best_peer] / bare['cpu_ms_per_run']:.2f}")
    notes.append("Sagebrush and Ray Serve get nested rows (9 KB an image); MLServer and Triton the same numbers in the "
                 "flat form that they speak (8 KB).")
    return Report(NAME, f"digits CNN, {CONNECTIONS} connections, JSON, one core, every server at its best; "
                        "figure = the smaller of ratio / 6 at batch 1 and ratio / 3 at batch 32",
                  min(shares), "ratio", 1.0, rows, notes, at_least=True)
