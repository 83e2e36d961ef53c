"""Training jobs through version 3 of the unmodified SDK: its ModelTrainer, which brings the programs that run a script."""

import logging

import pytest

from support.jobs import IMAGE

PLAIN_PYTHON = "sagebrush/python:3.11"
DEADLINE = 300


@pytest.fixture
def trainer(sdk_environment, tmp_path):
    """trainer(script, files={name: text}, instances=1, **ModelTrainer's options) gives a ModelTrainer whose train.py is
    `script`; those of SourceCode are in `code`. The SDK is imported here: it makes clients as it is."""
    from sagemaker.train import ModelTrainer
    from sagemaker.train.configs import Compute, SourceCode

    logging.getLogger("sagemaker").setLevel(logging.INFO)  # where its waiting prints what the job does

    def make(script, files=None, code=None, instances=1, **options):
        source = tmp_path / "source"
        for name, text in {"train.py": script, **(files or {})}.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_text(text)
        code = {"entry_script": "train.py"} | (code or {})
        settings = {"training_image": IMAGE, "base_job_name": "sdk3", "source_code": SourceCode(source_dir=str(source), **code),
                    "compute": Compute(instance_type="ml.m5.large", instance_count=instances)} | options
        return ModelTrainer(**settings)

    return make


@pytest.fixture
def start(trainer, sdk_environment):
    """start(script, inputs=[…], **trainer's options) submits, and gives the SDK's TrainingJob."""

    def submit(script, inputs=None, **options):
        made = trainer(script, **options)
        made.train(input_data_config=inputs, wait=False)
        sdk_environment.names.append(made._latest_training_job.training_job_name)
        return made._latest_training_job

    return submit


def completed(jobs, job):
    """Waits as the SDK does, but more often than every five seconds."""
    from sagemaker.core.utils.exceptions import FailedStatusError

    try:
        job.wait(poll=1, timeout=DEADLINE)
    except FailedStatusError as failure:
        raise AssertionError(jobs.lines(job.training_job_name)[-40:]) from failure
    assert job.training_job_status == "Completed"
    return job


def printed_lines(caplog, name, rank=1):
    """What the SDK's waiting printed of a host's output: it names the stream above each line."""
    told = [record.getMessage().split(":\n", 1) for record in caplog.records]
    return [parts[1] for parts in told if parts[0].startswith(f"{name}/algo-{rank}-")]
