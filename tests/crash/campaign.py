"""One run of a crash campaign: a client goes through a scenario whose engine (or agent) is killed at one named place,
and what is there in the end is checked as if nothing had happened.
"""

import dataclasses
import threading
import time

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from support import leaks
from support.engine import Engine, EngineDied
from support.jobs import Jobs
from support.waiting import POLL_SECONDS

RUN_DEADLINE = 60


@dataclasses.dataclass(frozen=True)
class Point:
    """A passage of a failpoint in a scenario."""

    name: str
    passage: int = 1
    scenario: str = "train"

    def __str__(self):
        return f"{self.name}@{self.passage}"


class Keeper(threading.Thread):
    """Starts the engine again whenever it has died, without the failpoint: what an init system does."""

    def __init__(self, engine):
        super().__init__(daemon=True)
        self.engine = engine
        self.restarts = 0
        self.error = None
        self._over = threading.Event()

    def run(self):
        try:
            while not self._over.is_set():
                if not self.engine.alive():
                    self.restarts += 1
                    self.engine.start()
                self._over.wait(POLL_SECONDS)
        except Exception as error:  # told by finish(), in the test's own thread
            self.error = error

    def finish(self):
        self._over.set()
        self.join()
        if self.error:
            raise AssertionError(f"the engine did not come back: {self.error}") from self.error


class Client:
    """A client that does what a careful script does while its engine comes and goes: try again, then look. Each
    scenario is a method that returns what it came to; verify() checks that."""

    SCENARIOS = ()
    IN_EACH = ()  # how the names of failpoints begin that mean something else in each scenario

    def __init__(self, engine, name=""):
        """name: of the failpoint that kills; "" for none."""
        self.engine = engine
        self.deadline = time.monotonic() + RUN_DEADLINE
        self.jobs = self.persistently(lambda: Jobs(engine))
        self.failpoint = name

    @staticmethod
    def prepare(engine):
        """What the data directory holds before the engine is started for the first time."""

    def once(self, service):
        """A client that does not try again by itself, so that what it says is of one call."""
        return self.jobs.client(service, config=Config(retries={"total_max_attempts": 1}, proxies={}))

    def verify(self, end, scenario, agent_may_die):
        raise NotImplementedError

    def persistently(self, action):
        """Repeats the action over refused and broken connections until the run's deadline."""
        while True:
            try:
                return action()
            except ClientError as error:
                status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                if status < 500 or time.monotonic() > self.deadline:
                    raise
            except (BotoCoreError, OSError, AssertionError):
                if time.monotonic() > self.deadline:
                    raise
            time.sleep(POLL_SECONDS)


def enumerate_passages(kind, scenario):
    """Every failpoint that one whole run of a client passes in engine and agent, in the order of first passage:
    {name: times}."""
    engine = Engine()
    log = engine.data_dir.parent / "failpoints"
    log.touch()
    log.chmod(0o666)  # the agent may have given up its rights
    try:
        kind.prepare(engine)
        engine.start(SAGEBRUSH_FAILPOINT_LOG=str(log))
        client = kind(engine)
        client.verify(getattr(client, scenario)(), scenario, agent_may_die=False)
        names = log.read_text().split()  # nothing is left, so whatever is passed after the end is in the log, too
    finally:
        engine.destroy()
    passages = {}
    for name in names:
        passages[name] = passages.get(name, 0) + 1
    return passages


def run_point(kind, point):
    """Kills at the point and checks the recovery. Returns what died: "engine", "agent" or "" (never reached)."""
    engine = Engine()
    try:
        log = engine.data_dir.parent / "failpoints"
        log.touch()
        log.chmod(0o666)
        kind.prepare(engine)
        variables = {"SAGEBRUSH_FAILPOINT": str(point), "SAGEBRUSH_FAILPOINT_LOG": str(log)}
        engine.launch(**variables)
        restarts = 0
        try:
            engine.await_ready()
        except EngineDied:
            engine.start()
            restarts = 1
        keeper = Keeper(engine)
        keeper.start()
        try:
            client = kind(engine, point.name)
            end = getattr(client, point.scenario)()
            client.verify(end, point.scenario, agent_may_die=not restarts and not keeper.restarts)
        finally:
            keeper.finish()
        restarts += keeper.restarts
        assert restarts <= 1, f"the engine died {restarts} times for one failpoint"
        if restarts:
            return "engine"
        return "agent" if log.read_text().split().count(point.name) >= point.passage else ""
    finally:
        engine.destroy()
