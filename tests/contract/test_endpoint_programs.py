"""Endpoints that run a program of their own: what never answers a ping, and the end of an endpoint at every moment."""

import gzip
import json
import tarfile
import threading
import time

import pytest
from botocore.exceptions import ClientError

from support import leaks
from support.endpoints import PROGRAM_IMAGE, engine_of_programs
from support.waiting import wait_until

START_SECONDS = 6
PACKED_IMAGES = """\
[[image]]
name = 'packed'
pattern = 'packed:.*'
requirements = ['six==1.17.0']
serve = ['python', '/opt/ml/model/serve.py']
"""
# Answers with the package that its environment has, and where that lies.
PACKED = """\
import http.server, json, os, six, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.answer(b"")
    def do_POST(self):
        self.answer(json.dumps({"six": six.__version__, "prefix": sys.prefix, "mine": os.environ["MINE"]}).encode())
    def answer(self, body):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def endpoints():
    with engine_of_programs(PACKED_IMAGES) as made:
        yield made


@pytest.fixture(scope="module")
def hurried():
    """Of an engine that gives instances less time to start than the API lets a configuration ask for."""
    with engine_of_programs(SAGEBRUSH_ENDPOINT_START_SECONDS=str(START_SECONDS)) as made:
        yield made


def delete(endpoints, name):
    """Takes the endpoint down; neither a process nor a group nor a directory of it may be left."""
    endpoints.delete(name)
    endpoints.gone(name)
    leaks.assert_nothing_left(endpoints.jobs.engine, [f"ep_{name}"])
    assert not endpoints.instances(name)
    endpoints.names.remove(name)


def phases(endpoints, name):
    """How far the endpoint's instances are, as their agents write it."""
    found = []
    for directory in endpoints.instances(name):
        try:
            found.append(json.loads((directory / "status.json").read_text())["phase"])
        except OSError:
            pass  # it is only just beginning
    return found


def in_phase(endpoints, name, phase):
    wait_until(lambda: phase in phases(endpoints, name), 60, f"an instance of {name} to be {phase}")


def large_model(gibibytes):
    """A model.tar.gz that is quickly made and takes seconds to unpack."""
    member = tarfile.TarInfo("weights")
    member.size = gibibytes << 30
    piece = gzip.compress(bytes(1 << 24))
    return gzip.compress(member.tobuf()) + piece * (member.size >> 24) + gzip.compress(bytes(1024))


def test_any_program_that_serves(endpoints):
    name = endpoints.create(endpoints.program())
    reply = endpoints.invoke(name, b"abc", "text/plain")
    assert (reply["Body"].read(), reply["ContentType"]) == (b"cba", "text/plain")
    delete(endpoints, name)


def test_a_program_in_an_environment_of_its_own(endpoints):
    data = endpoints.artifact("packed", {"serve.py": PACKED})
    name = endpoints.create(endpoints.model(data, "packed:1", {"MINE": "yes"}))
    answer = endpoints.predict(name, {})
    assert (answer["six"], answer["mine"]) == ("1.17.0", "yes")
    assert answer["prefix"].endswith("/venv"), answer
    delete(endpoints, name)


@pytest.mark.parametrize("environment", [{"PING": "503"}, {"LISTEN": "no"}], ids=["unwell", "not listening"])
def test_an_instance_that_never_answers_its_ping_fails_with_its_last_words(hurried, environment):
    model = hurried.program(**environment)
    name = hurried.start(hurried.config({"ModelName": model, "ContainerStartupHealthCheckTimeoutInSeconds": 60}))
    description = hurried.settled(name)
    assert description["EndpointStatus"] == "Failed"
    reason = description["FailureReason"]
    assert f"did not pass the ping health check within {START_SECONDS} s" in reason, reason
    assert "reading the weights" in reason, reason
    wait_until(lambda: not hurried.instances(name), 30, "the failed instance to go")
    assert hurried.logged(name)[0] == "reading the weights"
    assert hurried.describe(name)["EndpointStatus"] == "Failed"
    delete(hurried, name)


def test_deletable_while_the_model_is_unpacked(endpoints):
    data = endpoints.jobs.put("large/model.tar.gz", large_model(7))
    name = endpoints.start(endpoints.config(endpoints.model(data, PROGRAM_IMAGE)))
    in_phase(endpoints, name, "Downloading")
    endpoints.delete(name)
    assert phases(endpoints, name) in (["Downloading"], []), "the model was unpacked too soon for this test"
    began = time.monotonic()
    endpoints.gone(name)
    assert time.monotonic() - began < 5, "it was unpacked to its end"
    delete_again = pytest.raises(ClientError, endpoints.delete, name).value.response["Error"]
    assert delete_again["Code"] == "ValidationException" and "Could not find" in delete_again["Message"]
    leaks.assert_nothing_left(endpoints.jobs.engine, [f"ep_{name}"])
    assert not endpoints.instances(name)


def test_deletable_before_the_first_ping(endpoints):
    name = endpoints.start(endpoints.config(endpoints.program(LISTEN="no")))
    in_phase(endpoints, name, "Training")
    assert endpoints.describe(name)["EndpointStatus"] == "Creating"
    delete(endpoints, name)


def test_deletable_while_updating(endpoints):
    name = endpoints.create(endpoints.program())
    endpoints.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=endpoints.config(
        endpoints.program(LISTEN="no")))
    wait_until(lambda: phases(endpoints, name) == ["Training", "Training"], 60, "both fleets to run")
    assert endpoints.describe(name)["EndpointStatus"] == "Updating"
    delete(endpoints, name)


def test_deletable_while_an_update_is_taken_back(hurried):
    """The new fleet has failed, and does not go as it is told to."""
    name = hurried.create(hurried.program())
    hurried.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=hurried.config(
        hurried.program(PING="503", DEAF="yes")))
    assert "ping health check" in hurried.settled(name)["FailureReason"]
    assert phases(hurried, name) == ["Training", "Training"], "the new fleet is gone too soon for this test"
    assert hurried.invoke(name, b"abc", "text/plain")["Body"].read() == b"cba"
    delete(hurried, name)


def test_deletable_when_it_has_failed_and_its_instance_lingers(hurried):
    name = hurried.start(hurried.config(hurried.program(PING="503", DEAF="yes")))
    assert hurried.settled(name)["EndpointStatus"] == "Failed"
    assert phases(hurried, name) == ["Training"], "the instance is gone too soon for this test"
    delete(hurried, name)


def test_deletable_under_requests(endpoints):
    """Each request that is under way ends: with its answer or with an error that says that there is none."""
    name = endpoints.create({"ModelName": endpoints.program(SECONDS="3"), "InitialInstanceCount": 2})
    ends = []

    def ask():
        try:
            ends.append(endpoints.invoke(name, b"abc", "text/plain")["Body"].read())
        except ClientError as error:
            ends.append(error.response["Error"]["Code"])

    askers = [threading.Thread(target=ask) for _ in range(6)]
    for asker in askers:
        asker.start()
    wait_until(lambda: endpoints.logged(name).count("asked") >= 6, 30, "the requests to be under way")
    delete(endpoints, name)
    for asker in askers:
        asker.join(30)
        assert not asker.is_alive(), "a request hangs"
    assert len(ends) == 6
    assert set(ends) <= {b"cba", "ServiceUnavailable", "ValidationError"}, ends
