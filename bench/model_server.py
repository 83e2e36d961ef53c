"""What the benchmarks of the model server share: a server process, the load on it, and the bare loop beside it."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
SERVER_CORES, CLIENT_CORES = "0", "1"  # one core each, on the smallest machine that separates them
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def build_native():
    """The programs of bench/native, in the build that is measured."""
    build = pathlib.Path(os.environ["SAGEBRUSH_BUILD"])
    subprocess.run(["cmake", "--build", build, "--target", "bench_native"], check=True, stdout=subprocess.DEVNULL)
    return build / "bench/native"


def serving_python():
    subprocess.run(["bash", ROOT / "tools/python_env.sh", "serving"], check=True, stdout=subprocess.DEVNULL)
    return ROOT / ".sagebrush/serving/bin/python"


def tensorflow_folder():
    find = "import importlib.util as u; print(u.find_spec('tensorflow').submodule_search_locations[0])"
    return subprocess.run([serving_python(), "-c", find], check=True, capture_output=True, text=True).stdout.strip()


def model(name):
    """The directory of a test model's versions; exported at first use."""
    models = ROOT / "build/serving-models"
    script = ROOT / "tests/support/serving_models.py"
    subprocess.run([serving_python(), script, models, name], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    return models / name


def pinned(cores, command):
    return ["taskset", "-c", cores, *[str(part) for part in command]]


class Server:
    """A sagebrush-model-server on free ports, on its own core."""

    def __init__(self, models, *flags, cores=SERVER_CORES):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="sagebrush-bench-"))
        ready = self.directory / "ready.json"
        binary = pathlib.Path(os.environ["SAGEBRUSH_BUILD"]) / "sagebrush-model-server"
        command = [binary, "--rest_api_port", "-1", "--port", "-1", "--tensorflow", tensorflow_folder(),
                   "--ready_file", ready, *flags]
        for name, path in models.items():
            command += ["--model", f"{name}={path}"]
        self.log = open(self.directory / "log", "w")
        self.started = time.monotonic()
        self.process = subprocess.Popen(pinned(cores, command), stdout=self.log, stderr=self.log)
        while not ready.exists():
            if self.process.poll() is not None:
                sys.exit("The model server ended:\n" + (self.directory / "log").read_text())
            time.sleep(0.005)
        self.ports = json.loads(ready.read_text())

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS

    def resident_bytes(self):
        pages = pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def log_text(self):
        return (self.directory / "log").read_text()

    def close(self):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()
        shutil.rmtree(self.directory, ignore_errors=True)


@contextlib.contextmanager
def model_server(models, *flags, cores=SERVER_CORES):
    server = Server(models, *flags, cores=cores)
    try:
        yield server
    finally:
        server.close()


def bare_loop(native, version, rows, threads, seconds):
    command = [native / "bench-bare-loop", tensorflow_folder(), version, rows, threads, seconds, 1, -1, onednn()]
    output = subprocess.run(pinned(SERVER_CORES, command), check=True, capture_output=True, text=True).stdout
    return json.loads(output)


def onednn():
    """Which kernels both sides use: 1 or 0."""
    return os.environ.get("SAGEBRUSH_BENCH_ONEDNN", "1")


def onednn_flags(kernels=None):
    return ["--onednn", "true" if (kernels or onednn()) == "1" else "false"]


def http_load(native, server, path, body, connections, seconds, content_type="application/json", rate=None):
    """{"requests", "failures", "seconds", "p50_us", "p99_us", "cpu_ms_per_request"} of a load on the server."""
    file = server.directory / "body"
    file.write_bytes(body)
    command = [native / "bench-http-load", server.ports["rest"], path, content_type, file, connections, seconds]
    before = server.cpu_seconds()
    output = subprocess.run(pinned(CLIENT_CORES, command + ([rate] if rate else [])), check=True, capture_output=True,
                            text=True).stdout
    result = json.loads(output)
    result["cpu_ms_per_request"] = (server.cpu_seconds() - before) * 1000 / max(1, result["requests"])
    return result


def image_body():
    """An image of 224×224 pixels, as ResNet50 takes it."""
    import random

    random.seed(3)
    image = [[[round(random.random(), 7) for _ in range(3)] for _ in range(224)] for _ in range(224)]
    return json.dumps({"instances": [image]}, separators=(",", ":")).encode()


def digits_body(rows):
    """Images of 28×28 pixels, as a client would send them: numbers of up to seven digits."""
    import random

    random.seed(3)
    pixels = lambda: [[[round(random.random(), 7)] for _ in range(28)] for _ in range(28)]  # noqa: E731
    return json.dumps({"instances": [pixels() for _ in range(rows)]}, separators=(",", ":")).encode()
