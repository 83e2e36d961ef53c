"""Engines for tests: start, stop, kill -9, restart on the same data directory and port, and the clients' environment."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

from support import leaks
from support.waiting import wait_until

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
READY_DEADLINE = 30.0
STOP_DEADLINE = 30.0
# Variables of whoever runs the tests that would lead a client elsewhere.
CLIENT_PREFIXES = ("AWS_", "SAGEMAKER_", "SAGEBRUSH_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
                   "http_proxy", "https_proxy", "no_proxy", "all_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def build_directory():
    return pathlib.Path(os.environ.get("SAGEBRUSH_BUILD", REPOSITORY / "build/dev"))


def wheels():
    """The directory of prebuilt wheels, if there is one."""
    return os.environ.get("SAGEBRUSH_WHEELS")


def images_cache():
    return pathlib.Path(os.environ.get("SAGEBRUSH_IMAGES_CACHE", REPOSITORY / "build/images-cache"))


def free_environment():
    """The caller's environment without anything that steers AWS clients or engines, and with uv on its PATH."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(CLIENT_PREFIXES)}
    return environment | {"PATH": f"{pathlib.Path(sys.executable).parent}:{environment.get('PATH', os.defpath)}"}


class EngineDied(Exception):
    """The engine's process ended while it was being started."""


class Engine:
    """One engine and its data directory. Not thread-safe, but clients may use the endpoint from any thread."""

    def __init__(self, build=None, data_dir=None):
        self.build = pathlib.Path(build) if build else build_directory()
        self.binary = self.build / "sagebrush"
        self.owned_root = None
        if data_dir is None:
            self.owned_root = tempfile.mkdtemp(prefix="sagebrush-test-")
            os.chmod(self.owned_root, 0o755)
            data_dir = pathlib.Path(self.owned_root) / "data"
        self.data_dir = pathlib.Path(data_dir)
        self.log_path = self.data_dir.parent / "engine.log"
        self.process = None
        self.endpoint = None
        self.listen = "127.0.0.1:0"
        self._environment = None

    def start(self, **variables):
        """Starts the engine and waits until it is ready; later starts use the first one's port. Variables are added
        to its environment. Raises EngineDied when it ends first, as a failpoint may make it."""
        self.launch(**variables)
        self.await_ready()
        return self

    def launch(self, **variables):
        self.data_dir.mkdir(parents=True, exist_ok=True)
        (self.data_dir / "engine.json").unlink(missing_ok=True)
        images_cache().mkdir(parents=True, exist_ok=True)
        command = [self.binary, "serve", "--data-dir", self.data_dir, "--listen", self.listen,
                   "--images-cache", images_cache()]
        if wheels():
            command += ["--wheels", wheels()]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=free_environment() | variables, start_new_session=True)

    def await_ready(self):
        wait_until(self._is_ready, READY_DEADLINE, "the engine's readiness (see " + str(self.log_path) + ")")
        address = self.endpoint.split("//", 1)[1]
        self.listen = address

    def _is_ready(self):
        code = self.process.poll()
        if code is not None:
            raise EngineDied(f"the engine ended with {code} before it was ready:\n{self.log_tail()}")
        try:
            state = json.loads((self.data_dir / "engine.json").read_text())
        except (OSError, ValueError):
            return False
        self.endpoint = state["endpoint"].rstrip("/")
        return True

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """kill -9: no goodbye of any kind."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """SIGTERM; the engine must end by itself, with code 0."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_DEADLINE)

    def log_tail(self, size=4000):
        try:
            return self.log_path.read_text(errors="replace")[-size:]
        except OSError:
            return ""

    def cli(self, *arguments, timeout=120, **options):
        """Runs `sagebrush --data-dir … ARGUMENTS` to its end."""
        return subprocess.run(self.cli_command(*arguments), capture_output=True, text=True, timeout=timeout,
                              env=free_environment(), **options)

    def cli_command(self, *arguments):
        return [str(self.binary), "--data-dir", str(self.data_dir), *[str(argument) for argument in arguments]]

    def environment(self):
        """What `sagebrush env` exports, as a dictionary."""
        if self._environment is None:
            result = self.cli("env", "--json")
            assert result.returncode == 0, result.stderr
            settings = json.loads(result.stdout)  # null stands for a variable to unset
            self._environment = {key: value for key, value in settings.items() if value is not None}
        return self._environment

    def client_environment(self, **variables):
        """The whole environment of a client process, with nothing but `sagebrush env` to find the engine by."""
        return free_environment() | self.environment() | {"AWS_EC2_METADATA_DISABLED": "true"} | variables

    def end(self):
        """Stops the engine if it lives; its instances go on."""
        if self.alive():
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError("the engine did not stop within 30 s of SIGTERM:\n" + self.log_tail())

    def destroy(self):
        """Ends the engine and, if the data directory is this object's own, its instances and the directory."""
        self.end()
        if self.owned_root:
            leaks.end_instances_of(self.data_dir)
            shutil.rmtree(self.owned_root, ignore_errors=True)
