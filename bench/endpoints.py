"""What the benchmarks of endpoints share: an engine that serves the digits CNN, and signed load on it."""

import contextlib
import io
import json
import pathlib
import shutil
import subprocess
import tarfile
import tempfile
import time
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.credentials

from harness import warm_engine
from model_server import build_native, model
from support.endpoints import Endpoints
from support.jobs import REGION

POLL_SECONDS = 0.005


def packed(name):
    """A test model as a model.tar.gz."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(model(name), name)
    return buffer.getvalue()


@contextlib.contextmanager
def digits_endpoints():
    """Endpoints of a fresh engine, and the name of a model there: the digits CNN."""
    archive = packed("digits")
    with warm_engine() as (jobs, _):
        endpoints = Endpoints(jobs)
        yield endpoints, endpoints.model(jobs.put("digits/model.tar.gz", archive))
        endpoints.clean_up()


def create(endpoints, config):
    """The endpoint's name, and how long it took from the call until it was in service."""
    began = time.monotonic()
    name = endpoints.start(config)
    while True:
        description = endpoints.describe(name)
        if description["EndpointStatus"] == "InService":
            return name, time.monotonic() - began
        assert description["EndpointStatus"] == "Creating", description
        time.sleep(POLL_SECONDS)


def signed_headers(endpoints, path, body):
    """The header fields of an invocation, signed; they hold for some minutes."""
    variables = endpoints.jobs.engine.environment()
    credentials = botocore.credentials.Credentials(variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"])
    request = botocore.awsrequest.AWSRequest("POST", endpoints.jobs.engine.endpoint + path, data=body,
                                             headers={"Content-Type": "application/json"})
    botocore.auth.SigV4Auth(credentials, "sagemaker", REGION).add_auth(request)
    own = ("host", "content-length", "content-type")  # the load generator's
    return {name: value for name, value in request.headers.items() if name.lower() not in own}


class Load:
    """bench-http-load on an endpoint: through the engine, or on its instance's own server."""

    def __init__(self, endpoints, name, body):
        self.endpoints, self.name, self.body = endpoints, name, body
        self.native = build_native()
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="sagebrush-bench-"))
        (self.directory / "body").write_bytes(self.body)

    def through_engine(self, connections, seconds, rate=0):
        return self.start(connections, seconds, rate)()

    def direct(self, connections, seconds):
        """From inside the network of the endpoint's only instance."""
        agent, = self.endpoints.agents(self.name)
        return self._start(["nsenter", f"--net=/proc/{agent}/ns/net"], 8080, "/invocations", connections, seconds, 0, {})()

    def start(self, connections, seconds, rate):
        """Load through the engine in the background: a function that waits for its outcome."""
        path = f"/endpoints/{self.name}/invocations"
        headers = signed_headers(self.endpoints, path, self.body)
        port = urllib.parse.urlsplit(self.endpoints.jobs.engine.endpoint).port
        return self._start([], port, path, connections, seconds, rate, headers)

    def _start(self, before, port, path, connections, seconds, rate, headers):
        fields = self.directory / "headers"
        fields.write_text("".join(f"{name}: {value}\r\n" for name, value in headers.items()))
        command = [*before, self.native / "bench-http-load", port, path, "application/json", self.directory / "body",
                   connections, seconds, rate, fields]
        process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)

        def outcome():
            printed = process.communicate()[0]
            assert process.returncode == 0, printed
            return json.loads(printed)

        return outcome

    def close(self):
        shutil.rmtree(self.directory, ignore_errors=True)
