"""ModelTrainer and TrainingJob of version 3 of the unmodified SDK, led by nothing but what `sagebrush env` exports."""

import json
import re
import subprocess
import sys
import tarfile

import pytest

from support.jobs import IMAGE, REGION, split_uri
from support.sdk3_jobs import PLAIN_PYTHON, completed, printed_lines, start, trainer  # noqa: F401 (fixtures)
from support.sdk_jobs import said

WAITING = """\
import os, time
print("started", flush=True)
while not os.path.exists("/opt/ml/model/never"):
    time.sleep(0.05)
"""


# Keras on TensorFlow, with a package of requirements.txt, two channels, and all kinds of hyperparameters.
TRAIN = """\
import argparse, json, os, sys
import colorama
import numpy as np
import tensorflow as tf

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int)
parser.add_argument("--rate", type=float)
parser.add_argument("--name")
parser.add_argument("--flag", type=json.loads)
arguments = parser.parse_args()
channels = {name: {file: open(os.path.join(os.environ["SM_CHANNEL_" + name.upper()], file)).read()
                   for file in sorted(os.listdir(os.environ["SM_CHANNEL_" + name.upper()]))} for name in ("far", "near")}
print("report " + json.dumps({
    "arguments": vars(arguments), "hps": json.loads(os.environ["SM_HPS"]), "channels": channels, "cwd": os.getcwd(),
    "colorama": colorama.__version__, "environment": os.environ["OWN"], "job": os.environ["TRAINING_JOB_NAME"],
    "host": os.environ["SM_CURRENT_HOST"], "hosts": json.loads(os.environ["SM_HOSTS"]),
    "script": os.environ["SM_ENTRY_SCRIPT"], "gpus": os.environ["SM_NUM_GPUS"]}))
x = np.linspace(-1, 1, 64, dtype="float32")[:, None]
model = tf.keras.Sequential([tf.keras.Input((1,)), tf.keras.layers.Dense(1)])
model.compile(tf.keras.optimizers.SGD(arguments.rate), "mse")
losses = model.fit(x, 2 * x, epochs=arguments.epochs, verbose=0).history["loss"]
for epoch, loss in enumerate(losses):
    print(f"epoch {epoch} loss={loss:.4f}")
print("[a line] of [brackets]")
model.export(os.path.join(os.environ["SM_MODEL_DIR"], "1"), verbose=False)
"""


def test_train_that_waits_prints_the_jobs_lines(trainer, sdk_environment, tmp_path, caplog):
    from sagemaker.train.configs import InputData

    (tmp_path / "near").mkdir()
    (tmp_path / "near" / "a.txt").write_text("from here")
    sdk_environment.put("far/b.txt", b"from there")
    made = trainer(TRAIN, files={"requirements.txt": "colorama==0.4.6\n"}, code={"requirements": "requirements.txt"},
                   hyperparameters={"epochs": 3, "rate": 0.5, "name": "a b", "flag": True}, environment={"OWN": "x=y"})
    made.train(input_data_config=[InputData(channel_name="far", data_source=f"s3://{sdk_environment.bucket}/far"),
                                  InputData(channel_name="near", data_source=str(tmp_path / "near"))])
    job = made._latest_training_job
    name = job.training_job_name
    sdk_environment.names.append(name)

    printed = printed_lines(caplog, name)
    assert [line.split(" loss")[0] for line in printed if line.startswith("epoch ")] == ["epoch 0", "epoch 1", "epoch 2"]
    assert printed == sdk_environment.lines(name), "every line once, in order"
    assert "[a line] of [brackets]" in printed
    hyperparameters = {"epochs": 3, "rate": 0.5, "name": "a b", "flag": True}
    assert said(sdk_environment, name, 1, "report") == {
        "arguments": hyperparameters, "hps": hyperparameters, "cwd": "/opt/ml/input/data/code", "colorama": "0.4.6",
        "channels": {"far": {"b.txt": "from there"}, "near": {"a.txt": "from here"}}, "environment": "x=y", "job": name,
        "host": "algo-1", "hosts": ["algo-1"], "script": "train.py", "gpus": "0"}
    assert job.training_job_status == "Completed"
    assert job.model_artifacts.s3_model_artifacts.endswith(f"/sdk3/{name}/output/model.tar.gz")
    assert "1/saved_model.pb" in sdk_environment.tar_files(job.model_artifacts.s3_model_artifacts)


def test_a_job_is_found_again_stopped_and_listed(start, sdk_environment):
    from botocore.exceptions import ClientError
    from sagemaker.core.resources import TrainingJob

    started = start(WAITING, training_image=PLAIN_PYTHON, base_job_name="found")
    name = started.training_job_name
    sdk_environment.wait_for_line(name, "started")
    job = TrainingJob.get(name)
    assert (job.training_job_status, job.secondary_status) == ("InProgress", "Training")
    assert [found.training_job_name for found in TrainingJob.get_all(name_contains=name, status_equals="InProgress")] == [name]
    job.stop()
    job.wait(poll=1)
    assert job.refresh().training_job_status == "Stopped"
    assert not list(TrainingJob.get_all(name_contains=name, status_equals="InProgress"))
    with pytest.raises(ClientError, match="ValidationException"):
        job.stop()
    with pytest.raises(ClientError, match="Requested resource not found"):
        TrainingJob.get("no-such-job")


def test_a_running_job_is_waited_for_with_its_lines(start, sdk_environment, caplog):
    from sagemaker.core.resources import TrainingJob

    script = "import time\nprint('started', flush=True)\ntime.sleep(2)\nprint('ended')\n"
    name = start(script, training_image=PLAIN_PYTHON).training_job_name
    sdk_environment.wait_for_line(name, "started")
    job = TrainingJob.get(name)
    job.wait(logs=True, poll=1)
    assert job.training_job_status == "Completed"
    printed = printed_lines(caplog, name)
    assert printed == sdk_environment.lines(name)
    assert printed.index("started") < printed.index("ended")


FAILING = "def main():\n    raise RuntimeError('the well is dry')\n\nmain()\n"


@pytest.mark.parametrize(("script", "code", "reason"), [
    (FAILING, {}, r'ExitCode 1\nErrorMessage "RuntimeError: the well is dry"\nCommand "\S+/python3 train.py"'),
    (FAILING, {"command": "python train.py"}, r'ErrorMessage "RuntimeError: the well is dry"\nCommand "python train.py"'),
    ("x = (\n", {}, r'train.py", line 1\n.*SyntaxError'),
    ("import os\nos.abort()\n", {}, r"killed by signal 6 \(SIGABRT\)"),
    ("raise SystemExit(7)\n", {}, r"ExitCode 7\n"),
    ("open('/opt/ml/output/failure', 'w').write('in my own words')\nraise SystemExit(1)\n", {}, r"AlgorithmError: in my own words"),
], ids=["exception", "command", "syntax", "signal", "exit code", "own words"])
def test_a_job_that_fails_raises_with_the_scripts_reason(start, script, code, reason):
    from sagemaker.core.utils.exceptions import FailedStatusError

    job = start(script, code=code, training_image=PLAIN_PYTHON)
    with pytest.raises(FailedStatusError) as failure:
        job.wait(poll=1)
    assert re.search(reason, str(failure.value), re.DOTALL), str(failure.value)


def test_packages_that_cannot_be_installed_are_told_by_pip(start):
    from sagemaker.core.utils.exceptions import FailedStatusError

    job = start("print('never')\n", files={"needs.txt": "sagebrush-has-no-such-package==9\n"},
                code={"requirements": "needs.txt"}, training_image=PLAIN_PYTHON)
    with pytest.raises(FailedStatusError, match="No matching distribution found for sagebrush-has-no-such-package==9"):
        job.wait(poll=1)
    assert "The packages of needs.txt could not be installed" in job.failure_reason


def test_commands_shell_scripts_and_archives_run(start, sdk_environment, tmp_path):
    sh = start("", files={"go.sh": "#!/bin/sh\necho \"shell $* $SM_HP_UNITS\"\n"}, code={"entry_script": "go.sh"},
               hyperparameters={"units": 64}, training_image=PLAIN_PYTHON)
    command = start("import sys\nprint('command', sys.argv[1:])\n", code={"command": "python train.py", "args": ["--a", "b c"]},
                    training_image=PLAIN_PYTHON)
    with tarfile.open(tmp_path / "source.tar.gz", "w:gz") as tar:
        (tmp_path / "packed.py").write_text("print('from the archive')\n")
        tar.add(tmp_path / "packed.py", "packed.py")
    from sagemaker.train.configs import SourceCode
    archive = start("", source_code=SourceCode(source_dir=str(tmp_path / "source.tar.gz"), entry_script="packed.py"),
                    training_image=PLAIN_PYTHON)
    for job, line in ((sh, "shell --units 64 64"), (command, "command ['--a', 'b c']"), (archive, "from the archive")):
        completed(sdk_environment, job)
        assert line in sdk_environment.lines(job.training_job_name)


def test_groups_spot_checkpoints_metrics_tags_and_retries_are_honoured(trainer, sdk_environment):
    from sagemaker.core.shapes import InstanceGroup
    from sagemaker.train.configs import (CheckpointConfig, Compute, InputData, MetricDefinition, RetryStrategy,
                                         S3DataSource, StoppingCondition, Tag)

    sdk_environment.put("group/x.txt", b"x")
    script = """\
import os, pathlib
print("group", os.environ["SM_CURRENT_HOST"], os.path.exists("/opt/ml/input/data/part/x.txt"))
if os.environ["SM_CURRENT_HOST"] == "algo-2":
    pathlib.Path("/opt/ml/checkpoints/step-7").write_text("kept")
print("accuracy=0.75")
"""
    group = [InstanceGroup(instance_type="ml.m5.large", instance_count=1, instance_group_name=name) for name in ("one", "two")]
    part = S3DataSource(s3_data_type="S3Prefix", s3_uri=f"s3://{sdk_environment.bucket}/group",
                        s3_data_distribution_type="FullyReplicated", instance_group_names=["two"])
    made = trainer(script, training_image=PLAIN_PYTHON, tags=[Tag(key="team", value="blue")],
                   compute=Compute(instance_groups=group, enable_managed_spot_training=True),
                   stopping_condition=StoppingCondition(max_runtime_in_seconds=600, max_wait_time_in_seconds=900),
                   checkpoint_config=CheckpointConfig(s3_uri=f"s3://{sdk_environment.bucket}/checkpoints"))
    made = made.with_metric_definitions([MetricDefinition(name="accuracy", regex="accuracy=([0-9.]+)")])
    made = made.with_retry_strategy(RetryStrategy(maximum_retry_attempts=2))
    made.train(input_data_config=[InputData(channel_name="part", data_source=part)], wait=False)
    job = made._latest_training_job
    name = job.training_job_name
    sdk_environment.names.append(name)
    completed(sdk_environment, job)
    assert "group algo-1 False" in sdk_environment.lines(name, 1)
    assert "group algo-2 True" in sdk_environment.lines(name, 2)
    assert sdk_environment.get(f"s3://{sdk_environment.bucket}/checkpoints/step-7") == b"kept"
    assert [(metric.metric_name, metric.value) for metric in job.final_metric_data_list] == [("accuracy", 0.75)]
    assert job.enable_managed_spot_training and job.retry_strategy.maximum_retry_attempts == 2
    tags = sdk_environment.sagemaker.list_tags(ResourceArn=job.training_job_arn)["Tags"]
    assert tags == [{"Key": "team", "Value": "blue"}]


def test_what_is_not_there_is_refused_by_name(trainer):
    from botocore.exceptions import ClientError
    from sagemaker.core.shapes import TensorBoardOutputConfig
    from sagemaker.train.configs import RemoteDebugConfig

    made = trainer("print()", training_image=PLAIN_PYTHON)
    made = made.with_tensorboard_output_config(TensorBoardOutputConfig(s3_output_path="s3://b/t"))
    with pytest.raises(ClientError, match="TensorBoardOutputConfig"):
        made.train(wait=False)
    made = trainer("print()", training_image=PLAIN_PYTHON).with_remote_debug_config(RemoteDebugConfig(enable_remote_debug=True))
    with pytest.raises(ClientError, match="RemoteDebugConfig"):
        made.train(wait=False)


def test_roles_are_found_and_checked(trainer, sdk_environment):
    from sagemaker.core.helper.session_helper import Session, get_execution_role

    account = sdk_environment.client("sts").get_caller_identity()["Account"]
    mine = get_execution_role()
    assert re.fullmatch(rf"arn:aws:iam::{account}:role/.+", mine)
    roles = [trainer("", training_image=PLAIN_PYTHON, **given).role
             for given in ({}, {"role": "SomeRole"}, {"role": f"arn:aws:iam::{account}:role/path/Other"})]
    assert roles == [mine, f"arn:aws:iam::{account}:role/SomeRole", f"arn:aws:iam::{account}:role/path/Other"]
    assert Session().default_bucket() == f"sagemaker-{REGION}-{account}"


UNCHANGED_SCRIPT = """\
import sys
from sagemaker.core import image_uris
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import InputData, SourceCode

image = image_uris.retrieve("tensorflow", "us-west-2", version="2.19", py_version="py312", instance_type="ml.m5.large",
                            image_scope="training")
trainer = ModelTrainer(training_image=image, source_code=SourceCode(source_dir=sys.argv[1], entry_script="train.py"))
trainer.train(input_data_config=[InputData(channel_name="training", data_source=sys.argv[2])])
print("image", image)
print("job", trainer._latest_training_job.training_job_name)
print("model", trainer._latest_training_job.model_artifacts.s3_model_artifacts)
"""


def test_an_unchanged_script_runs_through_the_proxy_alone(jobs, tmp_path):
    """Without the endpoint's variable every AWS host is reached by CONNECT and the engine's own certificate authority."""
    environment = jobs.engine.client_environment(HOME=str(tmp_path))
    for name in [name for name in environment if name.startswith("AWS_ENDPOINT_URL") or name.lower() == "no_proxy"]:
        del environment[name]
    (tmp_path / "source").mkdir()
    (tmp_path / "source/train.py").write_text("print(open('/opt/ml/input/data/training/data.txt').read())\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/data.txt").write_text("hello from the channel")
    (tmp_path / "script.py").write_text(UNCHANGED_SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "source"), str(tmp_path / "data")]
    result = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=180)
    assert result.returncode == 0, result.stderr[-3000:]
    told = dict(line.split(" ", 1) for line in result.stdout.splitlines() if line.split(" ")[0] in ("image", "job", "model"))
    jobs.names.append(told["job"])
    assert told["image"] == IMAGE
    assert "hello from the channel" in jobs.lines(told["job"])
    bucket, key = split_uri(told["model"])
    assert bucket.startswith(f"sagemaker-{REGION}-")
    assert key.endswith(f"{told['job']}/output/model.tar.gz")
