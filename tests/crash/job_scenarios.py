"""The scenarios of training jobs in a crash campaign.

The job's program stores one object per start and one line per step, so that a second instance cannot hide. The checks
of a run: it ends Completed exactly once (an agent that was killed may also make it Failed, with a reason that says
so), one start, every line once and in order, each line's metric counted once, one model archive, legal transitions,
nothing left behind.
"""

import datetime
import os
import pathlib
import signal
import time

from botocore.exceptions import ClientError

from crash.campaign import Client
from support import leaks
from support.jobs import IMAGE, TERMINAL, assert_legal_transitions, now, numbered_lines, secondary_statuses
from support.waiting import POLL_SECONDS, wait_until

LINES = 20
JOB_S3 = (pathlib.Path(__file__).parents[1] / "support/job_s3.py").read_text()
PROGRAM = f"""\
import os, time, uuid
import job_s3
start = uuid.uuid4().hex
job_s3.put(os.environ["PROBE_BUCKET"], "starts/" + start, b"")
for number in range({LINES}):
    print("line", number)
    time.sleep(0.01)
open(os.path.join(os.environ["SM_MODEL_DIR"], "start"), "w").write(start)
"""


# Runs until it is stopped, and then leaves like a program that knows how to.
STOPPED_PROGRAM = """\
import os, signal, sys, time, uuid
import job_s3
start = uuid.uuid4().hex
def leave(*_):
    open(os.path.join(os.environ["SM_MODEL_DIR"], "start"), "w").write(start)
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
job_s3.put(os.environ["PROBE_BUCKET"], "starts/" + start, b"")
print("started", flush=True)
while True: time.sleep(0.02)
"""


# Two hosts that begin again until they find a checkpoint of a former attempt: then they end.
RESUMED_PROGRAM = """\
import os, pathlib, signal, uuid
import job_s3
host, start = os.environ["SM_CURRENT_HOST"], uuid.uuid4().hex
print("began", start, flush=True)
job_s3.put(os.environ["PROBE_BUCKET"], f"starts/{host}-{start}", b"")
state = pathlib.Path("/opt/ml/checkpoints/state")
if not state.exists():
    if host == "algo-1":
        state.write_text("saved")
    signal.pause()
if host == "algo-1":
    open(os.path.join(os.environ["SM_MODEL_DIR"], "start"), "w").write(state.read_text())
"""
CHECKPOINTS = "checkpoints/"


class JobClient(Client):
    """A job that is left alone ("train"), stopped ("stop"), or that loses an instance of two and starts again from its
    checkpoint ("restart")."""

    SCENARIOS = ("train", "stop", "restart")

    def verify(self, end, scenario, agent_may_die):
        check(self, end, scenario, agent_may_die)

    def train(self):
        """Runs the job to its end: its description."""
        name = self._submit(PROGRAM, AlgorithmSpecification={
            "TrainingImage": IMAGE, "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "number", "Regex": "^line ([0-9]+)$"}]})
        return self.persistently(lambda: self._ended(name))

    def stop(self):
        """Stops a running job: its description at the end."""
        name = self._submit(STOPPED_PROGRAM)
        self.persistently(lambda: self._started_or_ended(name))
        self.persistently(lambda: self._stop(name))
        return self.persistently(lambda: self._ended(name))

    def restart(self):
        """Runs a job of two instances and kills the agent of the second of every attempt that found no checkpoint."""
        name = self._submit(RESUMED_PROGRAM, instances=2, RetryStrategy={"MaximumRetryAttempts": 4},
                            CheckpointConfig={"S3Uri": f"s3://{self.jobs.bucket}/{CHECKPOINTS}"})
        while True:
            description = self.persistently(lambda: self.jobs.describe(name))
            if description["TrainingJobStatus"] in TERMINAL:
                return description
            assert time.monotonic() < self.deadline, f"{name} does not end: {description['SecondaryStatusTransitions']}"
            if self.persistently(lambda: self._keys(CHECKPOINTS)):
                self._kill_second_agent(name)
            time.sleep(POLL_SECONDS)

    def _keys(self, prefix):
        reply = self.jobs.s3.list_objects_v2(Bucket=self.jobs.bucket, Prefix=prefix)
        return [entry["Key"].removeprefix(prefix) for entry in reply.get("Contents", [])]

    def _kill_second_agent(self, name):
        for directory in (self.engine.data_dir / "instances").glob(f"{name}.*.1"):
            staged = directory / "staged/checkpoints"
            if not staged.is_dir() or (staged / "state").exists():
                continue
            try:
                os.kill(int((directory / "processes").read_text().split(":")[0]), signal.SIGKILL)
            except (OSError, ValueError):
                pass  # it is not there yet, or gone

    def _submit(self, program, **options):
        name = self.jobs.new_name("crash")
        self.jobs.names.append(name)
        request = self.persistently(lambda: self.jobs.request(
            name, program, files={"job_s3.py": JOB_S3}, Environment={"PROBE_BUCKET": self.jobs.bucket}, **options))
        self.persistently(lambda: self._create(request))
        return name

    def _started_or_ended(self, name):
        assert "started" in self.jobs.lines(name) or self.jobs.describe(name)["TrainingJobStatus"] in TERMINAL

    def _stop(self, name):
        """A stop whose reply was lost may have ended the job already, also between the client's own retries."""
        if self.jobs.describe(name)["TrainingJobStatus"] != "InProgress":
            return
        try:
            self.jobs.sagemaker.stop_training_job(TrainingJobName=name)
        except ClientError as error:
            if "in status Stopped" not in error.response["Error"]["Message"]:
                raise

    def _create(self, request):
        """A create whose reply was lost is looked for; it may have been carried out."""
        try:
            self.once("sagemaker").create_training_job(**request)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceInUse":
                raise

    def _ended(self, name):
        remaining = max(1.0, self.deadline - time.monotonic())

        def ended():
            description = self.jobs.describe(name)
            return description if description["TrainingJobStatus"] in TERMINAL else None

        return wait_until(ended, remaining, f"the end of {name}")


def check(client, description, scenario, agent_may_die):
    jobs, name = client.jobs, description["TrainingJobName"]
    starts = client.persistently(lambda: [
        entry["Key"] for entry in jobs.s3.list_objects_v2(Bucket=jobs.bucket, Prefix="starts/").get("Contents", [])])
    assert scenario == "restart" or len(starts) <= 1, f"{len(starts)} instances ran: {starts}"
    assert_legal_transitions(description)
    if agent_may_die and description["TrainingJobStatus"] == "Failed":
        assert description["FailureReason"], "a lost instance has no reason"
    elif scenario == "train":
        verify_completed(client, description, starts)
    elif scenario == "restart":
        verify_resumed(client, description, starts)
    else:
        assert description["TrainingJobStatus"] == "Stopped", description.get("FailureReason")
        verify_model(client, description, starts)
    leaks.assert_nothing_left(client.engine, jobs.names)
    again = client.persistently(lambda: jobs.describe(name))
    assert again["SecondaryStatusTransitions"] == description["SecondaryStatusTransitions"], "the end was not final"


def verify_completed(client, description, starts):
    jobs, name = client.jobs, description["TrainingJobName"]
    assert description["TrainingJobStatus"] == "Completed", description.get("FailureReason")
    assert secondary_statuses(description).count("Completed") == 1
    verify_model(client, description, starts)
    lines = client.persistently(lambda: jobs.lines(name))
    assert numbered_lines(lines) == list(range(LINES)), lines
    assert [entry["Value"] for entry in description["FinalMetricDataList"]] == [LINES - 1]
    counted = client.persistently(lambda: jobs.client("cloudwatch").get_metric_statistics(
        Namespace="/aws/sagemaker/TrainingJobs", MetricName="number", Statistics=["SampleCount", "Sum"], Period=3600,
        Dimensions=[{"Name": "TrainingJobName", "Value": name}],
        StartTime=now() - datetime.timedelta(hours=1), EndTime=now() + datetime.timedelta(hours=1)))["Datapoints"]
    assert sum(point["SampleCount"] for point in counted) == LINES, counted
    assert sum(point["Sum"] for point in counted) == LINES * (LINES - 1) / 2, counted
    keys = client.persistently(lambda: [
        entry["Key"] for entry in jobs.s3.list_objects_v2(Bucket=jobs.bucket, Prefix="out/").get("Contents", [])])
    assert keys == [f"out/{name}/output/model.tar.gz"], keys


def verify_resumed(client, description, starts):
    """Each attempt ran at most once on each host, the last from the checkpoint; every line is there once."""
    jobs, name = client.jobs, description["TrainingJobName"]
    assert description["TrainingJobStatus"] == "Completed", description.get("FailureReason")
    attempts = secondary_statuses(description).count("Restarting") + 1
    assert attempts >= 2, "it did not start again"
    for rank in (1, 2):
        began = [line.split()[1] for line in client.persistently(lambda rank=rank: jobs.lines(name, rank))
                 if line.startswith("began ")]
        stored = {key.removeprefix(f"starts/algo-{rank}-") for key in starts if key.startswith(f"starts/algo-{rank}-")}
        assert len(began) == len(set(began)) and stored <= set(began), (began, stored)
        assert len(began) <= attempts, (began, attempts)
    assert client.persistently(lambda: client._keys(CHECKPOINTS)) == ["state"]
    assert client.persistently(lambda: client.jobs.model_files(description)) == {"start": b"saved"}


def verify_model(client, description, starts):
    """The one instance that ran left the one model there is."""
    assert len(starts) == 1
    files = client.persistently(lambda: client.jobs.model_files(description))
    assert files == {"start": starts[0].removeprefix("starts/").encode()}
