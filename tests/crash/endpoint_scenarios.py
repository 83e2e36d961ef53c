"""The scenarios of endpoints in a crash campaign.

The server of each instance prints one line when it starts, and answers with its model and with what that line says, so
that an instance that was started twice cannot hide. The checks before the endpoint is deleted: it is in the state that
it would have come to by itself, with the configuration and the reason that belong to it; it answers, from the one
instance there is, which runs once; each instance that was needed has started once; its status took legal steps and its
LastModifiedTime never went back. After the deletion nothing is left.
"""

import itertools
import os
import signal
import time

from botocore.exceptions import ClientError

from crash.campaign import Client
from support import leaks
from support.endpoints import PROGRAM_IMAGE, PROGRAM_IMAGES, Endpoints
from support.waiting import wait_until

SERVER = """\
import http.server, os, uuid
start = os.environ["MODEL"] + " " + uuid.uuid4().hex
print("start", start, flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self): self.answer(b"")
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(start.encode())
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""
BROKEN = "raise SystemExit('the weights are torn')\n"
LEGAL = {("Creating", "InService"), ("Creating", "Failed"), ("InService", "Updating"), ("Updating", "InService")}
# Of an agent, which every instance of the run has: the first one dies there, and so do those that replace it.
IN_AGENTS = ("agent.", "driver.sandbox.")


class EndpointClient(Client):
    """An endpoint that is made and asked ("serve"), that is given another model ("update"), or one that cannot be
    served ("rollback"), or that loses its instance ("replace"); then it is deleted."""

    SCENARIOS = ("serve", "update", "rollback", "replace")
    IN_EACH = ("control.endpoint.",)

    def __init__(self, engine, name=""):
        super().__init__(engine, name)
        self.endpoints = Endpoints(self.jobs)
        self.runtime, self.sagemaker = self.once("sagemaker-runtime"), self.once("sagemaker")
        self.name = self.jobs.new_name("endpoint")
        self.seen = []  # what was told of the endpoint, in order

    @staticmethod
    def prepare(engine):
        engine.data_dir.mkdir(parents=True)
        (engine.data_dir / "images.toml").write_text(PROGRAM_IMAGES)

    def serve(self):
        config = self._create()
        self._check_and_delete(config, ["first"])

    def update(self):
        if config := self._create():
            config = self._update("second", SERVER)
        self._check_and_delete(config, ["first", "second"])

    def rollback(self):
        if config := self._create():
            self._update("broken", BROKEN)
        self._check_and_delete(config, ["first"], reason="the weights are torn")

    def replace(self):
        if config := self._create():
            victim = self._wait(lambda: self._agents() if len(self._agents()) == 1 else None, "its one agent")
            os.kill(victim[0], signal.SIGKILL)
            self._wait(lambda: self._agents() not in ([], victim), "another instance")
        self._check_and_delete(config, ["first", "first"])

    def verify(self, end, scenario, agent_may_die):
        failed = self.seen[-1]["EndpointStatus"] == "Failed"
        assert not failed or agent_may_die, self.seen[-1].get("FailureReason")
        assert not failed or self.seen[-1]["FailureReason"], "a lost instance has no reason"
        leaks.assert_nothing_left(self.engine, [self.name])
        assert not self.endpoints.instances(self.name)

    # --- steps ------------------------------------------------------------------------------------------------------

    def _wait(self, condition, what):
        return self.persistently(lambda: wait_until(condition, max(1.0, self.deadline - time.monotonic()), what))

    def _accepted(self, call, done, **fields):
        """The call, which may have been carried out although its reply was lost: then it is refused with `done`."""
        def attempt():
            try:
                call(**fields)
            except ClientError as error:
                if done not in error.response["Error"]["Message"]:
                    raise
        self.persistently(attempt)

    def _config(self, model, script):
        """A configuration with a model of that name."""
        data = self.persistently(lambda: self.endpoints.artifact(f"{self.name}-{model}", {"serve.py": script}))
        name = f"{self.name}-{model}"
        container = {"Image": PROGRAM_IMAGE, "ModelDataUrl": data, "Environment": {"MODEL": model}}
        self._accepted(self.sagemaker.create_model, "already existing", ModelName=name, PrimaryContainer=container,
                       ExecutionRoleArn="arn:aws:iam::000000000000:role/SageMakerRole")
        variant = {"VariantName": "AllTraffic", "ModelName": name, "InitialInstanceCount": 1,
                   "InstanceType": "ml.c5.large"}
        self._accepted(self.sagemaker.create_endpoint_config, "already existing", EndpointConfigName=name,
                       ProductionVariants=[variant])
        return name

    def _create(self):
        """The configuration of an endpoint in service; None when it has failed."""
        config = self._config("first", SERVER)
        self._accepted(self.sagemaker.create_endpoint, "already existing", EndpointName=self.name,
                       EndpointConfigName=config)
        return config if self._settled()["EndpointStatus"] == "InService" else None

    def _update(self, model, script):
        """An update whose reply was lost is looked for, so that it is not asked for again."""
        config = self._config(model, script)

        def update():
            told = self._describe()
            if told["EndpointStatus"] == "Updating" or told["EndpointConfigName"] == config or "FailureReason" in told:
                return
            self.sagemaker.update_endpoint(EndpointName=self.name, EndpointConfigName=config)
        self.persistently(update)
        self._settled()
        return config

    def _describe(self):
        told = self.endpoints.describe(self.name)
        self.seen.append(told)
        return told

    def _settled(self):
        def settled():
            told = self._describe()
            return told if told["EndpointStatus"] in ("InService", "Failed") else None
        return self._wait(settled, f"endpoint {self.name} to settle")

    def _agents(self):
        try:
            return self.endpoints.agents(self.name)
        except (OSError, ValueError):
            return []  # they come or go

    def _ask(self):
        reply = self.persistently(lambda: self.runtime.invoke_endpoint(
            EndpointName=self.name, Body=b"which", ContentType="text/plain")["Body"].read())
        return reply.decode()

    # --- checks -----------------------------------------------------------------------------------------------------

    def _check_and_delete(self, config, models, reason=None):
        if config and not self.failpoint.startswith(IN_AGENTS):
            self._check(config, models, reason)
        self._check_steps()
        self._accepted(self.sagemaker.delete_endpoint, "Could not find", EndpointName=self.name)
        self.persistently(lambda: self.endpoints.gone(self.name))
        starts = self.persistently(self._starts)
        assert len(starts) == len(set(starts)), starts
        if config and not self.failpoint.startswith(IN_AGENTS):
            assert [start.split()[0] for start in starts] == models, starts

    def _check(self, config, models, reason):
        """models: of the instances that have been needed, in the order in which they were started."""
        self._wait(lambda: len(self.endpoints.instances(self.name)) == 1, "the one instance that is needed")
        answer = self._ask()
        assert answer.split()[0] == models[-1], answer
        told = self.persistently(self._describe)
        assert (told["EndpointStatus"], told["EndpointConfigName"]) == ("InService", config)
        assert reason in told["FailureReason"] if reason else "FailureReason" not in told, told
        variant, = told["ProductionVariants"]
        assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (1, 1), variant
        directory, = self.endpoints.instances(self.name)
        commands = list(leaks.processes_of(directory).values())
        assert sum("/serve.py" in command for command in commands) == 1, commands
        assert sum("sagebrush-agent" in command for command in commands) == 2, commands  # and the first process inside
        # Lines are stored a moment after they were printed.
        starts = self._wait(lambda: self._starts() if len(self._starts()) >= len(models) else None, "lines of starts")
        assert [start.split()[0] for start in starts] == models, starts
        assert starts[-1] == answer, (starts, answer)

    def _starts(self):
        """What the servers say that have been started so far, in order."""
        try:
            lines = self.endpoints.logged(self.name)
        except self.jobs.logs.exceptions.ResourceNotFoundException:
            return []  # none has said anything
        return [line.removeprefix("start ") for line in lines if line.startswith("start ")]

    def _check_steps(self):
        for before, after in itertools.pairwise(self.seen):
            step = before["EndpointStatus"], after["EndpointStatus"]
            assert step[0] == step[1] or step in LEGAL, step
            assert before["CreationTime"] == after["CreationTime"] <= before["LastModifiedTime"]
            assert before["LastModifiedTime"] <= after["LastModifiedTime"], (before, after)
            # The loss of an instance, and a new engine, are no modifications.
            same = step[0] == step[1] and before["EndpointConfigName"] == after["EndpointConfigName"] \
                and before.get("FailureReason") == after.get("FailureReason")
            assert not same or before["LastModifiedTime"] == after["LastModifiedTime"], (before, after)
