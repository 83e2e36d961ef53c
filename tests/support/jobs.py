"""Training jobs at the level of the API, with scripts given as text: what the SDK sends, without its waits."""

import datetime
import io
import itertools
import json
import os
import re
import signal
import tarfile
import threading
import uuid

import boto3
from botocore.config import Config

from support.waiting import wait_until

REGION = "us-west-2"
IMAGE = f"763104351884.dkr.ecr.{REGION}.amazonaws.com/tensorflow-training:2.19-cpu-py312"
ROLE = "arn:aws:iam::000000000000:role/SageMakerRole"
LOG_GROUP = "/aws/sagemaker/TrainingJobs"
TERMINAL = ("Completed", "Failed", "Stopped")
# A job moves only forward in this order, and may skip; the final ones end it.
ORDER = ("Starting", "Pending", "Downloading", "Training", "Stopping", "Uploading")
# After these, from any step up to Training, it begins anew.
AGAIN = ("Interrupted", "Restarting")
FINAL = {"Completed": "Completed", "Failed": "Failed", "Stopped": "Stopped", "MaxRuntimeExceeded": "Stopped",
         "MaxWaitTimeExceeded": "Stopped"}

_numbers = itertools.count()
# One for all clients, as each of its own would read the services' models anew: a tenth of a second, and memory.
_session = boto3.Session()
_making_clients = threading.Lock()  # a session is not made for several threads at once


def archive(files):
    """A sourcedir.tar.gz of {name: text or bytes}; scripts ending in .sh are executable."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o755 if name.endswith(".sh") else 0o644
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def split_uri(uri):
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


class Jobs:
    """Makes and watches jobs of one engine; remembers every name for the leak check. Thread-safe."""

    def __init__(self, engine):
        self.engine = engine
        self.bucket = f"tests-{uuid.uuid4().hex[:12]}"
        self.names = []
        self.sagemaker, self.s3, self.logs = (self.client(name) for name in ("sagemaker", "s3", "logs"))
        try:
            self.s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        except self.s3.exceptions.BucketAlreadyOwnedByYou:
            pass  # boto3's own second try, after the engine was killed over the first one's reply

    def client(self, service, **options):
        """A boto3 client with explicit settings, so that the process's environment does not matter. Clients that
        outlive a killed engine retry by themselves."""
        variables = self.engine.environment()
        options.setdefault("config", Config(retries={"mode": "standard", "total_max_attempts": 6}, proxies={}))
        settings = {"endpoint_url": self.engine.endpoint, "region_name": REGION,
                    "aws_access_key_id": variables["AWS_ACCESS_KEY_ID"],
                    "aws_secret_access_key": variables["AWS_SECRET_ACCESS_KEY"]} | options
        with _making_clients:
            return _session.client(service, **settings)

    def new_name(self, base="job"):
        return f"{base}-{os.getpid()}-{next(_numbers)}-{uuid.uuid4().hex[:6]}"

    def put(self, key, body):
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        return f"s3://{self.bucket}/{key}"

    def get(self, uri):
        bucket, key = split_uri(uri)
        return self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    def request(self, name, script="print('done')", *, files=None, program="train.py", hyperparameters=None,
                channels=None, instances=1, instance_type="ml.m5.large", max_runtime=3600, **fields):
        """The CreateTrainingJob request of a TensorFlow estimator whose train.py is `script`. Uploads the source.
        Channels: {name: URI, or the InputDataConfig entry}. Hyperparameter values are JSON-encoded as the SDK does."""
        source = self.put(f"{name}/source/sourcedir.tar.gz", archive({"train.py": script, **(files or {})}))
        injected = {"sagemaker_program": program, "sagemaker_submit_directory": source,
                    "sagemaker_container_log_level": 20, "sagemaker_job_name": name, "sagemaker_region": REGION,
                    "model_dir": f"s3://{self.bucket}/{name}/model"}
        encoded = {key: json.dumps(value) for key, value in (injected | (hyperparameters or {})).items()}
        request = {
            "TrainingJobName": name, "RoleArn": ROLE, "HyperParameters": encoded,
            "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            "OutputDataConfig": {"S3OutputPath": f"s3://{self.bucket}/out"},
            "ResourceConfig": {"InstanceType": instance_type, "InstanceCount": instances, "VolumeSizeInGB": 30},
            "StoppingCondition": {"MaxRuntimeInSeconds": max_runtime},
        }
        if channels:
            request["InputDataConfig"] = [self.channel(key, value) for key, value in channels.items()]
        return request | fields

    @staticmethod
    def channel(name, value, distribution="FullyReplicated"):
        if isinstance(value, dict):
            return {"ChannelName": name, **value}
        return {"ChannelName": name, "DataSource": {"S3DataSource": {
            "S3DataType": "S3Prefix", "S3Uri": value, "S3DataDistributionType": distribution}}}

    def submit(self, script="print('done')", *, name=None, **options):
        name = name or self.new_name()
        request = self.request(name, script, **options)
        self.names.append(name)
        self.sagemaker.create_training_job(**request)
        return name

    def run(self, script="print('done')", deadline=60, **options):
        """Submits and waits: the final description."""
        return self.wait(self.submit(script, **options), deadline)

    def describe(self, name):
        return self.sagemaker.describe_training_job(TrainingJobName=name)

    def wait(self, name, deadline=60):
        def ended():
            description = self.describe(name)
            return description if description["TrainingJobStatus"] in TERMINAL else None

        return wait_until(ended, deadline, f"the end of job {name}")

    def completed(self, script="print('done')", **options):
        """Runs a job that must complete; its description."""
        description = self.run(script, **options)
        assert description["TrainingJobStatus"] == "Completed", (
            description.get("FailureReason"), self.lines(description["TrainingJobName"]))
        return description

    def streams(self, name):
        try:
            reply = self.logs.describe_log_streams(logGroupName=LOG_GROUP, logStreamNamePrefix=name + "/")
        except self.logs.exceptions.ResourceNotFoundException:
            return []
        return [stream["logStreamName"] for stream in reply["logStreams"]]

    def events(self, name, rank=1):
        """All events of a host's stream, read page by page as the SDK does."""
        stream = next((item for item in self.streams(name) if item.startswith(f"{name}/algo-{rank}-")), None)
        if stream is None:
            return []
        events, token = [], {}
        while True:
            page = self.logs.get_log_events(logGroupName=LOG_GROUP, logStreamName=stream, startFromHead=True, **token)
            if not page["events"]:
                return events
            events += page["events"]
            token = {"nextToken": page["nextForwardToken"]}

    def lines(self, name, rank=1):
        return [event["message"] for event in self.events(name, rank)]

    def wait_for_line(self, name, text, deadline=60, rank=1):
        return wait_until(lambda: next((line for line in self.lines(name, rank) if text in line), None), deadline,
                          f"the line {text!r} of job {name}")

    def model_files(self, description):
        """{member: content} of model.tar.gz; the names without a leading ./"""
        return self.tar_files(description["ModelArtifacts"]["S3ModelArtifacts"])

    def tar_files(self, uri):
        with tarfile.open(fileobj=io.BytesIO(self.get(uri))) as tar:
            return {member.name.removeprefix("./"): tar.extractfile(member).read() for member in tar if member.isfile()}

    def report(self, script, **options):
        """Runs a script that ends by report(value): the value. For looking at things from inside a job."""
        description = self.completed(REPORT + script, **options)
        return json.loads(self.model_files(description)["report.json"])


# A prologue: report(value) hands a JSON value out of the job, as a file of the model.
REPORT = '''\
import json as _json, os as _os
def report(value):
    _os.makedirs("/opt/ml/model", exist_ok=True)
    with open("/opt/ml/model/report.json", "w") as file:
        _json.dump(value, file)
'''


def kill_agent(jobs, name, attempt, rank, which=0):
    """kill -9 of what holds an instance; its host's programs die with it. `which` 1: of the instance's first process."""
    processes = jobs.engine.data_dir / "instances" / f"{name}.{attempt}.{rank - 1}" / "processes"
    os.kill(int(processes.read_text().splitlines()[which].split(":")[0]), signal.SIGKILL)


def secondary_statuses(description):
    return [entry["Status"] for entry in description["SecondaryStatusTransitions"]]


def assert_legal_transitions(description):
    """Forward steps only, one end that fits the status, times that never go back, an end for all past entries."""
    entries = description["SecondaryStatusTransitions"]
    statuses = secondary_statuses(description)
    if statuses[-1] in FINAL:
        assert description["TrainingJobStatus"] == FINAL[statuses[-1]], (description["TrainingJobStatus"], statuses)
    passed = [status for status in statuses if status not in FINAL]
    assert len(passed) >= len(statuses) - 1, statuses
    for before, after in itertools.pairwise(passed):
        if after in AGAIN:
            assert before in AGAIN or ORDER.index(before) <= ORDER.index("Training"), statuses
        elif before not in AGAIN:
            assert ORDER.index(before) < ORDER.index(after), statuses
    starts = [entry["StartTime"] for entry in entries]
    assert starts == sorted(starts), starts
    assert all("EndTime" in entry for entry in entries[:-1]), entries
    assert all(isinstance(entry["StatusMessage"], str) for entry in entries), entries
    assert description["SecondaryStatus"] == statuses[-1], statuses


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def numbered_lines(lines, prefix="line"):
    """The numbers of the lines "<prefix> <n>", in the order of the log."""
    pattern = re.compile(rf"^{prefix} (\d+)$")
    return [int(match[1]) for match in map(pattern.match, lines) if match]
