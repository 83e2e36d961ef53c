"""A whole job, CreateTrainingJob to Completed, against plain `python train.py` with the same environment and data.

Both sides train examples/digits, in turns. The figure is (job - 0.5 s) / plain, so that 1.05 stands for
"at most 1.05 times the plain run plus half a second".
"""

import os
import pathlib
import shutil
import statistics
import subprocess
import time

import numpy as np
from harness import Report, Row, warm_engine
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

NAME = "fit-overhead"
TARGET = 1.05
ALLOWANCE_SECONDS = 0.5
TRAIN = (pathlib.Path(__file__).resolve().parents[1] / "examples/digits/train.py").read_text()


def write_data(directory):
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1).astype("float32")
    parts = train_test_split(images, labels, test_size=0.2, random_state=7, stratify=labels)
    for name, index in (("train", 0), ("test", 1)):
        (directory / name).mkdir(parents=True)
        np.savez_compressed(directory / name / f"{name}.npz", images=parts[index], labels=parts[index + 2])


def plain_run(python, directory, epochs):
    shutil.rmtree(directory / "model", ignore_errors=True)
    variables = {"SM_CHANNEL_TRAIN": directory / "train", "SM_CHANNEL_TEST": directory / "test",
                 "SM_MODEL_DIR": directory / "model"}
    started = time.monotonic()
    subprocess.run([python, directory / "train.py", "--epochs", str(epochs)], check=True, stdout=subprocess.PIPE,
                   stderr=subprocess.PIPE, cwd=directory, env=os.environ | {key: str(path) for key, path in variables.items()})
    return time.monotonic() - started


def job_run(jobs, channels, epochs):
    name = jobs.new_name("overhead")
    request = jobs.request(name, TRAIN, channels=channels, hyperparameters={"epochs": epochs})
    jobs.names.append(name)
    started = time.monotonic()
    jobs.sagemaker.create_training_job(**request)
    description = jobs.wait(name, 600)
    took = time.monotonic() - started
    assert description["TrainingJobStatus"] == "Completed", description.get("FailureReason")
    return took


def run(smoke):
    runs, epochs = (1, 1) if smoke else (5, 20)
    with warm_engine() as (jobs, python):
        directory = jobs.engine.data_dir.parent / "plain"
        write_data(directory)
        (directory / "train.py").write_text(TRAIN)
        channels = {name: jobs.put(f"digits/{name}/{name}.npz", (directory / name / f"{name}.npz").read_bytes())
                    for name in ("train", "test")}
        if not smoke:  # both sides read TensorFlow's libraries from the disk once
            plain_run(python, directory, 1)
            job_run(jobs, channels, 1)
        plain, whole = [], []
        for _ in range(runs):
            plain.append(plain_run(python, directory, epochs))
            whole.append(job_run(jobs, channels, epochs))
    figure = (statistics.median(whole) - ALLOWANCE_SECONDS) / statistics.median(plain)
    rows = [Row("job, CreateTrainingJob to Completed", "s", whole), Row("plain python train.py", "s", plain)]
    notes = [f"The job takes {statistics.median(whole) - statistics.median(plain):+.2f} s against the plain run."]
    return Report(NAME, f"examples/digits, {epochs} epochs; figure = (job - 0.5 s) / plain, of the medians", figure,
                  "ratio", TARGET, rows, notes)
