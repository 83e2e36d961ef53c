"""Real model servers on real models, for the real clients: runs under .sagebrush/serving (./test --serving does so)."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from support import serving_models  # noqa: E402
from support.waiting import wait_until  # noqa: E402

READY_DEADLINE = 120
STOP_DEADLINE = 30


def binary():
    return pathlib.Path(os.environ.get("SAGEBRUSH_BUILD", ROOT / "build/dev")) / "sagebrush-model-server"


def models_directory():
    return pathlib.Path(os.environ.get("SAGEBRUSH_SERVING_MODELS", ROOT / "build/serving-models"))


def export(name):
    """The directory of a test model's versions."""
    return serving_models.make(name, models_directory()).parent


def expected(name):
    """What Python's TensorFlow answers: {signature: {"inputs", "outputs"}}."""
    return json.loads((export(name) / "1" / "expected.json").read_text())


class ModelServer:
    """A server process of a test's own. It must end by itself, with code 0, at SIGTERM."""

    def __init__(self, directory, *arguments, **environment):
        self.log_path = directory / "model-server.log"
        self.ready = directory / "ready.json"
        self.ready.unlink(missing_ok=True)
        self.started = True  # False: it ended before it was ready, as some tests want it to
        command = [binary(), "--ready_file", self.ready, "--rest_api_port", "-1", "--port", "-1", *arguments]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=os.environ | environment)

    def await_ready(self):
        wait_until(self._is_ready, READY_DEADLINE, f"the model server's readiness (see {self.log_path})")
        ports = json.loads(self.ready.read_text())
        self.rest = f"http://127.0.0.1:{ports['rest']}" if "rest" in ports else None
        self.grpc = f"127.0.0.1:{ports['grpc']}" if "grpc" in ports else None
        self.url = f"http://127.0.0.1:{ports['hosting']}" if "hosting" in ports else None
        return self

    def _is_ready(self):
        self.started = self.process.poll() is None
        assert self.started, "the model server ended:\n" + self.log()
        return self.ready.exists()

    def log(self):
        return self.log_path.read_text(errors="replace")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            assert self.process.wait(STOP_DEADLINE) == 0 or not self.started, self.log()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()


def stop_all(servers):
    """Every one, whatever becomes of the others."""
    with contextlib.ExitStack() as stack:
        for server in servers:
            stack.callback(server.stop)


@pytest.fixture
def start_server(tmp_path):
    """start_server(*arguments, **environment) -> a running ModelServer."""
    servers = []

    def start(*arguments, wait=True, **environment):
        directory = tmp_path / f"server-{len(servers)}"
        directory.mkdir()
        server = ModelServer(directory, *arguments, **environment)
        servers.append(server)
        return server.await_ready() if wait else server

    yield start
    stop_all(servers)


@pytest.fixture(scope="session")
def model_server(tmp_path_factory):
    """One server for all tests that only ask: .rest and .grpc; the test models under their names."""
    arguments = [part for name in serving_models.DEFAULT for part in ("--model", f"{name}={export(name)}")]
    server = ModelServer(tmp_path_factory.mktemp("model-server"), *arguments)
    yield server.await_ready()
    server.stop()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def hosting_server(tmp_path_factory):
    """hosting_server(model_dir, *flags, **environment) -> a ModelServer with .url, as a SageMaker container serves
    model_dir."""
    servers = []

    def start(model_dir, *flags, wait=True, **environment):
        server = ModelServer(tmp_path_factory.mktemp("hosting"), *flags, "serve", "--model_dir", model_dir, "--python",
                             sys.executable, SAGEMAKER_BIND_TO_PORT=str(free_port()), **environment)
        servers.append(server)
        return server.await_ready() if wait else server

    yield start
    stop_all(servers)
