"""Attempts, checkpoints, the common start and instance groups, through the unmodified SDK."""

import json
import logging
import pathlib
import re

import pytest

from support import leaks
from support.jobs import assert_legal_transitions, kill_agent, secondary_statuses
from support.waiting import wait_until

PLAIN_PYTHON = {"image_uri": "sagebrush/python:3.11", "framework_version": None, "py_version": None}


@pytest.fixture
def start(sdk_environment, tmp_path):
    """start(script, fit inputs, **estimator options): submits train.py with the SDK and gives the job's name."""
    return starter(sdk_environment, tmp_path)


def starter(jobs, directory):
    import boto3
    import sagemaker
    from sagemaker import tensorflow

    logging.getLogger("sagemaker").setLevel(logging.WARNING)
    session = sagemaker.Session(boto_session=boto3.Session())  # of the environment as it is now

    def submit(script, inputs=None, files=None, **options):
        (directory / "train.py").write_text(script)
        for name, text in (files or {}).items():
            (directory / name).write_text(text)
        settings = PLAIN_PYTHON | {"base_job_name": "gang"} | options
        if "instance_groups" not in settings:
            settings = {"instance_type": "ml.t3.medium"} | settings
        made = tensorflow.TensorFlow(entry_point="train.py", source_dir=str(directory), role="SageMakerRole",
                                     sagemaker_session=session, **settings)
        made.fit(inputs, wait=False)
        jobs.names.append(made.latest_training_job.name)
        return made.latest_training_job.name

    return submit


def keys_below(jobs, prefix):
    reply = jobs.s3.list_objects_v2(Bucket=jobs.bucket, Prefix=prefix)
    return {entry["Key"].removeprefix(prefix) for entry in reply.get("Contents", [])}


# Counts to 100 a step at a time, host 1 keeping the count in a checkpoint as trainers do: a new file, then the name of
# it, then the removal of the one before. Every host says with which step it began.
RESUMING = """\
import json, os, pathlib, sys, time
directory = pathlib.Path("/opt/ml/checkpoints")
host = os.environ["SM_CURRENT_HOST"]
latest = directory / "latest"
first = int((directory / latest.read_text()).read_text()) if latest.exists() else 0
print("resumed", first, flush=True)
for step in range(first, 100):
    if host == "algo-1":
        previous = latest.read_text() if latest.exists() else ""
        (directory / f"step-{step}").write_text(str(step))
        (directory / "latest.new").write_text(f"step-{step}")
        os.rename(directory / "latest.new", latest)
        if previous and previous != f"step-{step}":
            (directory / previous).unlink()
    print("step", step, flush=True)
    if step == 5 and first == 0:
        while True:  # stuck until the instance is lost
            time.sleep(1)
if host == "algo-1":
    pathlib.Path("/opt/ml/model/steps").write_text("100")
"""


def test_a_gang_that_loses_an_instance_starts_again_from_its_checkpoint(start, sdk_environment):
    jobs = sdk_environment
    prefix = jobs.new_name("ckpt") + "/"
    name = start(RESUMING, instance_count=2, max_retry_attempts=2, checkpoint_s3_uri=f"s3://{jobs.bucket}/{prefix}")
    for rank in (1, 2):
        jobs.wait_for_line(name, "step 5", rank=rank)
    # Stored while the program runs.
    wait_until(lambda: keys_below(jobs, prefix) == {"latest", "step-5"}, 60, "the checkpoint in S3")
    kill_agent(jobs, name, 1, 2)
    description = jobs.wait(name, 120)
    assert description["TrainingJobStatus"] == "Completed", (description.get("FailureReason"), jobs.lines(name, 1))
    assert description["RetryStrategy"] == {"MaximumRetryAttempts": 2}
    assert description["CheckpointConfig"]["S3Uri"] == f"s3://{jobs.bucket}/{prefix}"
    assert_legal_transitions(description)
    statuses = secondary_statuses(description)
    assert statuses.count("Training") == 2 and statuses.count("Restarting") == 1, statuses
    restart = next(entry for entry in description["SecondaryStatusTransitions"] if entry["Status"] == "Restarting")
    assert "algo-2" in restart["StatusMessage"]
    assert len(jobs.streams(name)) == 2
    for rank in (1, 2):
        lines = [line for line in jobs.lines(name, rank) if not line.startswith("sagebrush:")]
        assert [line for line in lines if line.startswith("resumed")] == ["resumed 0", "resumed 5"]
        assert lines[-1] == "step 99"
    assert keys_below(jobs, prefix) == {"latest", "step-99"}
    assert jobs.model_files(description) == {"steps": b"100"}


def test_a_spot_job_is_interrupted_and_goes_on_from_its_checkpoint(start, sdk_environment):
    jobs = sdk_environment
    prefix = jobs.new_name("ckpt") + "/"
    name = start(RESUMING, instance_count=1, use_spot_instances=True, max_run=600, max_wait=1200,
                 checkpoint_s3_uri=f"s3://{jobs.bucket}/{prefix}")
    jobs.wait_for_line(name, "step 5")
    wait_until(lambda: "step-5" in keys_below(jobs, prefix), 60, "the checkpoint in S3")
    kill_agent(jobs, name, 1, 1)
    description = jobs.wait(name, 120)
    assert description["TrainingJobStatus"] == "Completed", description.get("FailureReason")
    assert description["EnableManagedSpotTraining"] is True
    assert "Interrupted" in secondary_statuses(description)
    assert_legal_transitions(description)
    assert [line for line in jobs.lines(name) if line.startswith("resumed")] == ["resumed 0", "resumed 5"]


def test_an_instance_that_the_kernel_ends_is_lost_too(start, sdk_environment):
    jobs = sdk_environment
    script = ("import pathlib, signal\nmark = pathlib.Path('/opt/ml/checkpoints/mark')\nfound = mark.exists()\n"
              "print('found', found, flush=True)\nmark.write_text('x')\nif not found:\n    signal.pause()\n")
    prefix = jobs.new_name("ckpt") + "/"
    name = start(script, instance_count=1, max_retry_attempts=1, checkpoint_s3_uri=f"s3://{jobs.bucket}/{prefix}")
    wait_until(lambda: keys_below(jobs, prefix) == {"mark"}, 60, "the checkpoint in S3")
    kill_agent(jobs, name, 1, 1, which=1)
    description = jobs.wait(name)
    assert description["TrainingJobStatus"] == "Completed", (description.get("FailureReason"), jobs.lines(name))
    assert [line for line in jobs.lines(name) if line.startswith("found")] == ["found False", "found True"]
    message = next(entry["StatusMessage"] for entry in description["SecondaryStatusTransitions"]
                   if entry["Status"] == "Restarting")
    assert "InternalServerError: instance algo-1 broke: The instance's first process died." in message


def test_a_failing_program_is_not_retried(start, sdk_environment):
    name = start("print('tried', flush=True)\nraise ValueError('wrong')\n", instance_count=2, max_retry_attempts=5)
    description = sdk_environment.wait(name)
    assert description["TrainingJobStatus"] == "Failed"
    assert "AlgorithmError" in description["FailureReason"] and "ValueError: wrong" in description["FailureReason"]
    assert sum(sdk_environment.lines(name, rank).count("tried") for rank in (1, 2)) <= 2
    assert "Restarting" not in secondary_statuses(description)


def test_without_retries_a_loss_fails_the_job(start, sdk_environment):
    name = start("import signal\nprint('here', flush=True)\nsignal.pause()\n", instance_count=2)
    for rank in (1, 2):
        sdk_environment.wait_for_line(name, "here", rank=rank)
    kill_agent(sdk_environment, name, 1, 1)
    description = sdk_environment.wait(name)
    assert description["TrainingJobStatus"] == "Failed"
    assert description["FailureReason"].startswith("InternalServerError: the agent of instance algo-1")


CHECKPOINTS_OF_ITS_OWN = """\
import os, pathlib, time
directory = pathlib.Path("/data/ckpt")
assert (directory / "before").read_text() == "before", list(directory.iterdir())
assert not (directory / "other").exists()
(directory / "sub").mkdir()
(directory / "sub/large").write_bytes(b"x" * (20 << 20))
(directory / "before").unlink()
os.symlink("/etc/passwd", directory / "link")
os.symlink("/", directory / "root")
os.mkfifo(directory / "pipe")
print("written", flush=True)
while not os.path.exists("/tmp/end"):
    with open(directory / "growing", "a") as file:
        file.write("x" * 1000)
    time.sleep(0.05)
    if os.path.getsize(directory / "growing") > 200_000:
        break
print("size", os.path.getsize(directory / "growing"), flush=True)
"""


def test_checkpoints_go_both_ways_at_a_path_of_ones_own_and_links_lead_nowhere(start, sdk_environment):
    jobs = sdk_environment
    prefix = jobs.new_name("ckpt")
    jobs.put(f"{prefix}/before", b"before")
    jobs.put(f"{prefix}-2/other", b"other")
    name = start(CHECKPOINTS_OF_ITS_OWN, instance_count=1, checkpoint_s3_uri=f"s3://{jobs.bucket}/{prefix}",
                 checkpoint_local_path="/data/ckpt")
    jobs.wait_for_line(name, "written")
    wait_until(lambda: "sub/large" in keys_below(jobs, prefix + "/"), 60, "the large file in S3")
    assert "growing" not in keys_below(jobs, prefix + "/"), "a file that is being written was stored"
    description = jobs.wait(name)
    assert description["TrainingJobStatus"] == "Completed", (description.get("FailureReason"), jobs.lines(name))
    assert keys_below(jobs, prefix + "/") == {"sub/large", "growing"}
    assert jobs.get(f"s3://{jobs.bucket}/{prefix}/sub/large") == b"x" * (20 << 20)
    assert len(jobs.get(f"s3://{jobs.bucket}/{prefix}/growing")) == int(jobs.lines(name)[-1].split()[1])
    assert jobs.get(f"s3://{jobs.bucket}/{prefix}-2/other") == b"other"


WRITES_AND_ENDS = """\
import pathlib, time
directory = pathlib.Path("/opt/ml/checkpoints")
for number in range(60):
    (directory / f"part-{number}").write_text("x" * number)
    print("part", number, flush=True)
    time.sleep(0.05)
(directory / "before").unlink()
"""


def test_checkpoints_outlive_a_killed_engine(new_engine):
    jobs = new_engine()
    prefix = "kept/"
    jobs.put(prefix + "before", b"before")
    request = jobs.request(jobs.new_name(), WRITES_AND_ENDS, CheckpointConfig={"S3Uri": f"s3://{jobs.bucket}/{prefix}"},
                           AlgorithmSpecification={"TrainingImage": PLAIN_PYTHON["image_uri"], "TrainingInputMode": "File"})
    jobs.sagemaker.create_training_job(**request)
    name = request["TrainingJobName"]
    jobs.names.append(name)
    jobs.wait_for_line(name, "part 10")
    jobs.engine.kill()

    def no_program_left():
        return not any("train.py" in command for command in leaks.processes_of(jobs.engine.data_dir).values())

    wait_until(no_program_left, 60, "the end of the program")
    jobs.engine.start()
    description = jobs.wait(name)
    assert description["TrainingJobStatus"] == "Completed", description.get("FailureReason")
    assert keys_below(jobs, prefix) == {f"part-{number}" for number in range(60)}
    assert jobs.get(f"s3://{jobs.bucket}/{prefix}part-59") == b"x" * 59


def test_a_host_that_never_comes_to_the_start_is_named(new_engine, monkeypatch, tmp_path):
    jobs = new_engine(SAGEBRUSH_GANG_WAIT_SECONDS="2")
    for variable, value in jobs.engine.client_environment().items():
        monkeypatch.setenv(variable, value)
    setup = ("import os, time\nfrom setuptools import setup\n"
             "if os.environ['SM_CURRENT_HOST'] == 'algo-2':\n    time.sleep(600)\nsetup(name='late', py_modules=[])\n")
    name = starter(jobs, tmp_path)("print('began', flush=True)\n", files={"setup.py": setup}, instance_count=3)
    description = jobs.wait(name, 120)
    assert description["TrainingJobStatus"] == "Failed"
    assert re.match(r"InternalServerError: instance algo-2 was not ready to start within 2 s after the first of 3 was",
                    description["FailureReason"]), description["FailureReason"]
    assert "being installed" in description["FailureReason"]
    assert all("began" not in jobs.lines(name, rank) for rank in (1, 2, 3)), "all or none"


GROUPS = """\
import json, os
names = ("SM_CURRENT_INSTANCE_GROUP", "SM_CURRENT_INSTANCE_TYPE")
values = ("SM_HOSTS", "SM_INSTANCE_GROUPS", "SM_INSTANCE_GROUPS_DICT", "SM_CURRENT_INSTANCE_GROUP_HOSTS",
          "SM_DISTRIBUTION_INSTANCE_GROUPS", "SM_IS_HETERO", "SM_CHANNELS")
seen = {name: os.environ[name] for name in names} | {name: json.loads(os.environ[name]) for name in values}
seen["resources"] = json.load(open("/opt/ml/input/config/resourceconfig.json"))
seen["files"] = {channel: sorted(os.listdir("/opt/ml/input/data/" + channel)) for channel in seen["SM_CHANNELS"]}
environment = json.loads(os.environ["SM_TRAINING_ENV"])
seen["env"] = {key: environment[key] for key in ("distribution_hosts", "master_hostname", "is_master")}
seen["cluster"] = json.loads(os.environ.get("TF_CONFIG", "null"))
print("seen", json.dumps(seen), flush=True)
"""


def seen_by(jobs, name, rank):
    line = next(line for line in jobs.lines(name, rank) if line.startswith("seen "))
    return json.loads(line.split(" ", 1)[1])


def test_instance_groups_have_their_types_channels_and_distribution(start, sdk_environment):
    from sagemaker.inputs import TrainingInput
    from sagemaker.instance_group import InstanceGroup

    jobs = sdk_environment
    prefix = jobs.new_name("data")
    for letter in "abcd":
        jobs.put(f"{prefix}/{letter}", letter.encode())
    feed, train = InstanceGroup("feed", "ml.c5.xlarge", 1), InstanceGroup("train", "ml.t3.medium", 2)
    uri = f"s3://{jobs.bucket}/{prefix}/"
    name = start(GROUPS, {"all": TrainingInput(uri),
                          "shared": TrainingInput(uri, distribution="ShardedByS3Key", instance_groups=["train"])},
                 instance_groups=[feed, train],
                 # The SDK lets `distribution` name groups with `mpi` alone; this is what it would send.
                 hyperparameters={"sagemaker_multi_worker_mirrored_strategy_enabled": True,
                                  "sagemaker_distribution_instance_groups": ["train"]})
    description = jobs.wait(name, 120)
    assert description["TrainingJobStatus"] == "Completed", (description.get("FailureReason"), jobs.lines(name, 1))
    assert description["ResourceConfig"]["InstanceGroups"] == [
        {"InstanceType": "ml.c5.xlarge", "InstanceCount": 1, "InstanceGroupName": "feed"},
        {"InstanceType": "ml.t3.medium", "InstanceCount": 2, "InstanceGroupName": "train"}]
    groups = [{"instance_group_name": "feed", "instance_type": "ml.c5.xlarge", "hosts": ["algo-1"]},
              {"instance_group_name": "train", "instance_type": "ml.t3.medium", "hosts": ["algo-2", "algo-3"]}]
    for rank, group in ((1, groups[0]), (2, groups[1]), (3, groups[1])):
        seen = seen_by(jobs, name, rank)
        assert seen["SM_CURRENT_INSTANCE_GROUP"] == group["instance_group_name"]
        assert seen["SM_CURRENT_INSTANCE_TYPE"] == group["instance_type"]
        assert seen["SM_CURRENT_INSTANCE_GROUP_HOSTS"] == group["hosts"]
        assert seen["SM_HOSTS"] == ["algo-1", "algo-2", "algo-3"]
        assert seen["SM_INSTANCE_GROUPS"] == ["feed", "train"]
        assert seen["SM_INSTANCE_GROUPS_DICT"] == {entry["instance_group_name"]: entry for entry in groups}
        assert seen["SM_DISTRIBUTION_INSTANCE_GROUPS"] == ["train"]
        assert seen["SM_IS_HETERO"] is True
        assert seen["resources"] == {
            "current_host": f"algo-{rank}", "current_instance_type": group["instance_type"],
            "current_group_name": group["instance_group_name"], "hosts": ["algo-1", "algo-2", "algo-3"],
            "instance_groups": groups, "network_interface_name": "eth0"}
        assert seen["env"] == {"distribution_hosts": ["algo-2", "algo-3"], "master_hostname": "algo-2",
                               "is_master": rank == 2}
    assert seen_by(jobs, name, 1)["files"] == {"all": ["a", "b", "c", "d"]}
    assert seen_by(jobs, name, 2)["files"] == {"all": ["a", "b", "c", "d"], "shared": ["a", "c"]}
    assert seen_by(jobs, name, 3)["files"] == {"all": ["a", "b", "c", "d"], "shared": ["b", "d"]}
    assert seen_by(jobs, name, 1)["cluster"] is None
    for rank in (2, 3):
        assert seen_by(jobs, name, rank)["cluster"] == {
            "cluster": {"worker": ["algo-2:8890", "algo-3:8890"]}, "environment": "cloud",
            "task": {"index": rank - 2, "type": "worker"}}


def test_each_groups_instances_have_the_memory_of_their_type(start, sdk_environment):
    from sagemaker.instance_group import InstanceGroup

    jobs = sdk_environment
    name = start("import signal\nprint('here', flush=True)\nsignal.pause()\n",
                 instance_groups=[InstanceGroup("large", "ml.m5.xlarge", 1), InstanceGroup("small", "ml.t3.medium", 1)])
    for rank in (1, 2):
        jobs.wait_for_line(name, "here", rank=rank)
    found = {}
    for rank in (1, 2):
        limits = [path for file in ("memory.max", "memory.limit_in_bytes")
                  for path in pathlib.Path("/sys/fs/cgroup").glob(f"**/sagebrush/*.{name}.1.{rank - 1}/{file}")]
        found[rank] = [int(path.read_text()) >> 30 for path in limits]
    without = any("no memory limit" in line for line in jobs.lines(name))
    jobs.sagemaker.stop_training_job(TrainingJobName=name)
    assert jobs.wait(name)["TrainingJobStatus"] == "Stopped"
    if without:
        pytest.skip("this machine sets no memory limits")
    assert found == {1: [16], 2: [4]}


def test_the_sdk_shows_the_logs_of_every_group(start, sdk_environment, capsys):
    import boto3
    import sagemaker
    from sagemaker.instance_group import InstanceGroup

    name = start("import os\nprint('hello from', os.environ['SM_CURRENT_INSTANCE_GROUP'], flush=True)\n",
                 instance_groups=[InstanceGroup("a", "ml.t3.medium", 1), InstanceGroup("b", "ml.m5.large", 1)])
    assert sdk_environment.wait(name)["TrainingJobStatus"] == "Completed"
    sagemaker.Session(boto_session=boto3.Session()).logs_for_job(name)
    printed = capsys.readouterr().out
    assert "hello from a" in printed and "hello from b" in printed
    assert len(sdk_environment.streams(name)) == 2


@pytest.mark.parametrize(("change", "message"), [
    ({"InstanceType": "ml.m5.large"}, "InstanceGroups excludes InstanceType"),
    ({"InstanceCount": 1}, "InstanceGroups excludes InstanceType"),
])
def test_groups_exclude_the_one_type(jobs, change, message):
    request = jobs.request(jobs.new_name())
    request["ResourceConfig"] = {"VolumeSizeInGB": 30, "InstanceGroups": [
        {"InstanceType": "ml.m5.large", "InstanceCount": 1, "InstanceGroupName": "a"}]} | change
    with pytest.raises(jobs.sagemaker.exceptions.ClientError, match=message):
        jobs.sagemaker.create_training_job(**request)
