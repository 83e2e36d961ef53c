"""Jobs of several instances through the unmodified SDK's estimator."""

import json
import logging

import pytest

TRAINING_DEADLINE = 400


@pytest.fixture
def start(sdk_environment, tmp_path):
    """start(script, files={name: text}, **estimator options): submits train.py with the SDK and gives the job's name."""
    import sagemaker
    from sagemaker import tensorflow

    logging.getLogger("sagemaker").setLevel(logging.WARNING)
    session = sagemaker.Session()

    def submit(script, files=None, **options):
        for name, text in {"train.py": script, **(files or {})}.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        settings = {"framework_version": "2.19", "py_version": "py312", "instance_type": "ml.m5.large",
                    "base_job_name": "dist"} | options
        made = tensorflow.TensorFlow(entry_point="train.py", source_dir=str(tmp_path), role="SageMakerRole",
                                     sagemaker_session=session, **settings)
        made.fit(wait=False)
        sdk_environment.names.append(made.latest_training_job.name)
        return made.latest_training_job.name

    return submit


def assert_completed(jobs, name, hosts):
    description = jobs.wait(name, TRAINING_DEADLINE)
    output = {rank: jobs.lines(name, rank)[-30:] for rank in range(1, hosts + 1)}
    assert description["TrainingJobStatus"] == "Completed", (description.get("FailureReason"), output)


def said(jobs, name, rank, word):
    """The JSON value after `word` in the one line of that host that begins with it."""
    found = [line for line in jobs.lines(name, rank) if line.startswith(word + " ")]
    assert len(found) == 1, (rank, found, jobs.lines(name, rank)[-30:])
    return json.loads(found[0].split(" ", 1)[1])
