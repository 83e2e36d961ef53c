"""One engine per test process, shared by its tests; after the last one nothing of it may be left."""

import os
import subprocess
import sys

import pytest

from support import leaks
from support.endpoints import Endpoints
from support.engine import Engine, free_environment
from support.jobs import Jobs

AWS = os.path.join(os.path.dirname(sys.executable), "aws")


@pytest.fixture(scope="session")
def jobs():
    """The shared engine's jobs; jobs.engine is the engine. Tests that kill or misuse an engine take new_engine."""
    engine = Engine()
    try:
        engine.start()
        jobs = Jobs(engine)
        yield jobs
        assert engine.alive(), "the shared engine died:\n" + engine.log_tail()
        leaks.assert_nothing_left(engine, jobs.names)
        assert engine.stop() == 0, engine.log_tail()
        assert not leaks.processes_of(engine.data_dir)
    finally:
        engine.destroy()


@pytest.fixture
def engine(jobs):
    return jobs.engine


@pytest.fixture
def aws(engine, tmp_path):
    """The AWS command line client, as it is: aws(arguments…) is what it prints; with a code, what it complains of."""
    environment = engine.client_environment(HOME=str(tmp_path), AWS_PAGER="")

    def run(*arguments, data=None, code=0):
        result = subprocess.run([AWS, *arguments], env=environment, input=data, capture_output=True, timeout=120)
        assert result.returncode == code, result.stderr.decode()
        return result.stdout.decode() if code == 0 else result.stderr.decode()

    return run


@pytest.fixture
def new_engine():
    """Makes engines of the test's own; what they leave behind fails the test."""
    made = []

    def make(**variables):
        engine = Engine()
        made.append(engine)
        engine.start(**variables)
        return Jobs(engine)

    yield make
    for engine in made:
        try:
            engine.end()
            leaks.assert_nothing_left(engine, [])
        finally:
            engine.destroy()


@pytest.fixture(scope="module")
def endpoints(jobs):
    """The shared engine's endpoints; those that a module leaves are taken down at its end."""
    made = Endpoints(jobs)
    yield made
    made.clean_up()


@pytest.fixture
def sdk_environment(jobs, monkeypatch):
    """This process becomes a client with nothing but `sagebrush env`."""
    for name in set(os.environ) - set(free_environment()):
        monkeypatch.delenv(name)
    for name, value in jobs.engine.client_environment().items():
        monkeypatch.setenv(name, value)
    return jobs


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: waits tens of seconds, mostly in the SDK's own sleeps")
