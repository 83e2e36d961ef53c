"""sagebrush endpoints, with its commands for one endpoint, against a real one."""

import json
import signal
import subprocess

import pytest

from support.endpoints import PROGRAM, engine_of_programs
from support.engine import free_environment
from support.waiting import wait_until

DEADLINE = 30
# Says what it was asked and nothing else, and refuses what is bad.
SERVER = PROGRAM.replace(
    'os.write(1, b"asked\\n")', 'print("got", body.decode(), "as", self.headers["Content-Type"], flush=True)').replace(
    "self.answer(200, body[::-1])", 'self.answer(400 if body == b"bad" else 200, body[::-1])').replace(
    'print("reading the weights", flush=True)\n', "")


@pytest.fixture(scope="module")
def made():
    with engine_of_programs() as endpoints:
        model = endpoints.program(SERVER)
        yield endpoints, endpoints.create(model), model


def run(endpoints, *arguments, code=0, data=None):
    result = subprocess.run(endpoints.jobs.engine.cli_command("endpoints", *arguments), env=free_environment(),
                            input=data, capture_output=True, text=True, timeout=DEADLINE)
    assert result.returncode == code, result
    return result.stdout if code == 0 else result.stderr


def test_list_and_describe(made):
    endpoints, name, _ = made
    line, = [line for line in run(endpoints).splitlines() if name in line]
    assert line.split()[1:3] == ["InService", "1"]
    assert json.loads(run(endpoints, "--status", "InService", "--json"))[0]["EndpointName"] == name
    assert "AllTraffic" in run(endpoints, "describe", name)
    assert json.loads(run(endpoints, "describe", name, "--json"))["EndpointStatus"] == "InService"
    assert f"Did you mean:\n  {name}" in run(endpoints, "describe", name[:-1], code=2)


def test_invoke(made, tmp_path):
    endpoints, name, _ = made
    assert run(endpoints, "invoke", name, "--data", "abc", "--content-type", "text/csv") == "cba"
    assert run(endpoints, "invoke", name, data="stdin") == "nidts"
    (tmp_path / "rows").write_text("file")
    assert run(endpoints, "invoke", name, tmp_path / "rows", "--variant", "AllTraffic") == "elif"
    assert "(400) from primary with message \"dab\"" in run(endpoints, "invoke", name, "--data", "bad", code=5)
    wait_until(lambda: "got abc as text/csv" in run(endpoints, "logs", name, "--no-prefix"), DEADLINE, "the log")


def test_logs_follow_through_a_restart_until_it_is_deleted(made):
    endpoints, _, model = made
    name = endpoints.create(model)
    follower = subprocess.Popen(endpoints.jobs.engine.cli_command("endpoints", "logs", name, "--follow"),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=free_environment(), text=True)
    run(endpoints, "invoke", name, "--data", "one")
    assert "got one" in follower.stdout.readline()
    endpoints.jobs.engine.kill()
    assert "does not answer" in follower.stderr.readline()
    endpoints.jobs.engine.start()
    assert "is back" in follower.stderr.readline()
    wait_until(lambda: name in run(endpoints, "--status", "InService"), DEADLINE, "the endpoint to be there again")

    def invoked():
        result = subprocess.run(endpoints.jobs.engine.cli_command("endpoints", "invoke", name, "--data", "two"),
                                env=free_environment(), capture_output=True, text=True, timeout=DEADLINE)
        return result.returncode == 0
    wait_until(invoked, DEADLINE, "it to take requests again")
    assert "got two" in follower.stdout.readline()
    run(endpoints, "delete", name, "--wait")
    assert follower.wait(DEADLINE) == 0
    assert "got one" in run(endpoints, "logs", name), "a log outlives its endpoint"
    run(endpoints, "delete", name, code=2)


def test_ctrl_c_ends_a_follower_and_nothing_else(made):
    endpoints, name, _ = made
    run(endpoints, "invoke", name, "--data", "now")
    follower = subprocess.Popen(endpoints.jobs.engine.cli_command("endpoints", "logs", name, "-f"),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=free_environment(), text=True)
    assert "got" in follower.stdout.readline()
    follower.send_signal(signal.SIGINT)
    assert follower.wait(DEADLINE) == 130
    assert endpoints.describe(name)["EndpointStatus"] == "InService"
