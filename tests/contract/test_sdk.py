"""The unmodified SageMaker Python SDK, in this process, led by nothing but what `sagebrush env` exports."""

import logging
import re
import subprocess
import sys
import threading

import pytest

from support.jobs import IMAGE

ROLE = "SageMakerRole"
PRINTING = "for number in range(3):\n    print('line', number)\n"
WAITING = """\
import os, time
print("started", flush=True)
while not os.path.exists("/opt/ml/model/never"):
    time.sleep(0.05)
"""

SHORT = "import time\nprint('started', flush=True)\ntime.sleep(3)\nprint('ended')\n"


@pytest.fixture
def sdk(sdk_environment):
    import sagemaker
    from sagemaker import tensorflow

    logging.getLogger("sagemaker").setLevel(logging.WARNING)
    return tensorflow, sagemaker.Session()


@pytest.fixture
def estimator(sdk, tmp_path):
    """Makes a TensorFlow estimator whose train.py is the given script."""
    tensorflow, session = sdk

    def make(script, **options):
        (tmp_path / "train.py").write_text(script)
        return tensorflow.TensorFlow(
            entry_point="train.py", source_dir=str(tmp_path), role=ROLE, instance_count=1,
            instance_type="ml.m5.large", framework_version="2.19", py_version="py312", sagemaker_session=session,
            base_job_name="sdk", **options)

    return make


@pytest.mark.slow
def test_fit_that_waits_prints_the_output_and_the_status_lines(estimator, sdk_environment, capsys):
    made = estimator(PRINTING, hyperparameters={"epochs": 2})
    made.fit(sdk_environment.put("sdk-fit/data.txt", b"data"), wait=True, logs="All")
    sdk_environment.names.append(made.latest_training_job.name)
    printed = capsys.readouterr().out
    positions = [printed.index(f"line {number}") for number in range(3)]
    assert positions == sorted(positions)
    assert all(printed.count(f"line {number}") == 1 for number in range(3))
    for status in ("Starting", "Training", "Uploading", "Completed"):
        assert re.search(rf"^\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d {status} - ", printed, re.MULTILINE), status
    assert re.search(r"Training seconds: \d+", printed)
    assert re.search(r"Billable seconds: \d+", printed)


@pytest.mark.slow
def test_attach_to_a_running_job_waits_for_its_end_and_gives_the_estimator_back(sdk, estimator, sdk_environment, capsys):
    tensorflow, session = sdk
    made = estimator(SHORT, hyperparameters={"units": 64, "rate": 0.5, "name": "a b", "flag": True})
    made.fit(wait=False)
    name = made.latest_training_job.name
    sdk_environment.names.append(name)
    sdk_environment.wait_for_line(name, "started")
    assert sdk_environment.describe(name)["TrainingJobStatus"] == "InProgress"

    attached = tensorflow.TensorFlow.attach(name, sagemaker_session=session)

    assert sdk_environment.describe(name)["TrainingJobStatus"] == "Completed"
    assert attached.latest_training_job.name == name
    assert attached.model_data == f"s3://{session.default_bucket()}/{name}/output/model.tar.gz"
    assert attached.framework_version == "2.19"
    hyperparameters = attached.hyperparameters()
    assert (hyperparameters["units"], hyperparameters["rate"]) == ("64", "0.5")
    assert attached.entry_point == "train.py"
    capsys.readouterr()
    attached.logs()
    printed = capsys.readouterr().out
    assert printed.index("started") < printed.index("ended")


def test_attach_to_a_finished_job_is_immediate(sdk, sdk_environment):
    tensorflow, session = sdk
    description = sdk_environment.completed("print('once')")
    attached = tensorflow.TensorFlow.attach(description["TrainingJobName"], sagemaker_session=session)
    assert attached.model_data == description["ModelArtifacts"]["S3ModelArtifacts"]
    assert attached.training_image_uri() == IMAGE


def test_attach_to_a_failed_job_raises_with_the_programs_last_words(sdk, sdk_environment):
    from sagemaker.exceptions import UnexpectedStatusException

    tensorflow, session = sdk
    description = sdk_environment.run("raise RuntimeError('the well is dry')")
    with pytest.raises(UnexpectedStatusException, match="RuntimeError.*the well is dry") as failure:
        tensorflow.TensorFlow.attach(description["TrainingJobName"], sagemaker_session=session)
    assert failure.value.actual_status == "Failed"


def test_attach_to_an_unknown_job_raises_the_hosted_error(sdk):
    from botocore.exceptions import ClientError

    tensorflow, session = sdk
    with pytest.raises(ClientError, match="Requested resource not found") as failure:
        tensorflow.TensorFlow.attach("no-such-job", sagemaker_session=session)
    assert failure.value.response["Error"]["Code"] == "ValidationException"


def test_logs_after_an_unwaited_fit_print_everything(estimator, sdk_environment, capsys):
    made = estimator(PRINTING)
    made.fit(wait=False)
    name = made.latest_training_job.name
    sdk_environment.names.append(name)
    sdk_environment.wait(name)
    capsys.readouterr()
    made.logs()
    printed = capsys.readouterr().out
    assert [printed.count(f"line {number}") for number in range(3)] == [1, 1, 1]


def test_stop_through_the_sdk(estimator, sdk_environment):
    made = estimator(WAITING)
    made.fit(wait=False)
    name = made.latest_training_job.name
    sdk_environment.names.append(name)
    sdk_environment.wait_for_line(name, "started")
    made.latest_training_job.stop()
    assert sdk_environment.wait(name)["TrainingJobStatus"] == "Stopped"


UNCHANGED_SCRIPT = """\
import sys
import sagemaker
from sagemaker.tensorflow import TensorFlow

role = sagemaker.get_execution_role()
session = sagemaker.Session()
data = session.upload_data(sys.argv[1], key_prefix="unchanged")
estimator = TensorFlow(entry_point=sys.argv[2], role=role, instance_count=1, instance_type="ml.m5.large",
                       framework_version="2.19", py_version="py312")
estimator.fit({"training": data}, wait=False)
print("bucket", session.default_bucket())
print("role", role)
print("job", estimator.latest_training_job.name)
"""


@pytest.mark.parametrize("only_proxy", [False, True], ids=["endpoint variable and proxy", "proxy alone"])
def test_a_script_with_the_default_role_and_bucket_runs_unchanged(jobs, tmp_path, only_proxy):
    """With `proxy alone` every AWS host is reached by CONNECT and the engine's own certificate authority."""
    environment = jobs.engine.client_environment()
    if only_proxy:
        for name in [name for name in environment if name.startswith("AWS_ENDPOINT_URL") or name.lower() == "no_proxy"]:
            del environment[name]
    script, data, program = tmp_path / "script.py", tmp_path / "data.txt", tmp_path / "program.py"
    script.write_text(UNCHANGED_SCRIPT)
    data.write_text("hello from the channel")
    program.write_text("print(open('/opt/ml/input/data/training/data.txt').read())")
    environment["HOME"] = str(tmp_path)
    result = subprocess.run([sys.executable, str(script), str(data), str(program)], env=environment, cwd=tmp_path,
                            capture_output=True, text=True, timeout=180)
    assert result.returncode == 0, result.stderr[-3000:]
    told = dict(line.split(" ", 1) for line in result.stdout.splitlines() if line.split(" ")[0] in ("bucket", "role", "job"))
    assert re.fullmatch(r"sagemaker-us-west-2-\d{12}", told["bucket"])
    assert re.fullmatch(r"arn:aws:iam::\d{12}:role/.+", told["role"])
    jobs.names.append(told["job"])
    assert jobs.wait(told["job"])["TrainingJobStatus"] == "Completed"
    assert "hello from the channel" in jobs.lines(told["job"])


def test_concurrent_uploads_of_many_sessions_share_the_default_bucket(sdk_environment, tmp_path):
    """Every session looks for the default bucket and may make it: making it twice must not fail."""
    import sagemaker

    errors = []

    def upload(number):
        try:
            file = tmp_path / f"{number}.txt"
            file.write_text(str(number))
            uri = sagemaker.Session().upload_data(str(file), key_prefix="concurrent")
            assert sdk_environment.get(f"{uri}") == str(number).encode()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=upload, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
