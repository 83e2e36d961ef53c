"""Trains on real handwritten digits with the unmodified SageMaker Python SDK, and comes back to the job later.

Nothing here knows of Sagebrush but the one call of `sagebrush attach`. Before it:  eval "$(sagebrush env)"
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import boto3
import numpy as np
import sagemaker
from sagemaker.tensorflow import TensorFlow
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

HERE = pathlib.Path(__file__).resolve().parent
TARGET_ACCURACY = 0.95


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--framework-version", default="2.19")
    parser.add_argument("--py-version", default="py312")
    return parser.parse_args()


def execution_role(session):
    """The role of whoever calls; a plain ARN where the caller has none, as outside of SageMaker's own notebooks."""
    try:
        return sagemaker.get_execution_role(sagemaker_session=session)
    except ValueError:
        account = session.account_id()
        return f"arn:aws:iam::{account}:role/SageMakerRole"


def split_digits():
    """1,797 images of 8x8 pixels, a fifth of them held back for the test."""
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1).astype("float32")
    return train_test_split(images, labels, test_size=0.2, random_state=7, stratify=labels)


def upload(session, directory, channel, images, labels):
    file = directory / f"{channel}.npz"
    np.savez_compressed(file, images=images, labels=labels)
    return session.upload_data(str(file), key_prefix=f"digits/{channel}")


def start_training(session, inputs, arguments):
    estimator = TensorFlow(
        entry_point="train.py",
        source_dir=str(HERE),
        role=execution_role(session),
        instance_count=1,
        instance_type="ml.m5.large",
        framework_version=arguments.framework_version,
        py_version=arguments.py_version,
        hyperparameters={"epochs": arguments.epochs, "batch-size": 32, "learning-rate": 0.001},
        metric_definitions=[
            {"Name": "train:loss", "Regex": r"train_loss=([0-9.]+)"},
            {"Name": "validation:accuracy", "Regex": r"validation_accuracy=([0-9.]+)"},
        ],
        base_job_name="digits",
        sagemaker_session=session,
    )
    estimator.fit(inputs, wait=False)
    return estimator.latest_training_job.name


def sagebrush_command():
    for candidate in (os.environ.get("SAGEBRUSH"), shutil.which("sagebrush"), HERE.parents[1] / "build/release/sagebrush"):
        if candidate and pathlib.Path(candidate).exists():
            return str(candidate)
    sys.exit("The sagebrush command was found neither on PATH nor in build/release. Run ./quickstart first.")


def follow_in_another_process(name):
    """What one would type in a second terminal: the live output of the job, until it ends."""
    print(f"$ sagebrush attach {name}", flush=True)
    outcome = subprocess.run([sagebrush_command(), "attach", name], stderr=subprocess.STDOUT).returncode
    if outcome != 0:
        sys.exit(f"The job {name} did not complete (sagebrush attach ended with {outcome}); "
                 f"`sagebrush logs {name}` shows its output.")


def load_model(model_data, directory):
    """model_data is s3://bucket/…/model.tar.gz, and holds what the script left in SM_MODEL_DIR."""
    import tensorflow as tf  # late: it takes seconds, and the job may run meanwhile

    bucket, key = model_data.removeprefix("s3://").split("/", 1)
    archive = directory / "model.tar.gz"
    boto3.client("s3").download_file(bucket, key, str(archive))
    shutil.unpack_archive(archive, directory / "model")
    return tf.saved_model.load(str(directory / "model" / "1"))


def main():
    arguments = parse_arguments()
    session = sagemaker.Session()
    train_images, test_images, train_labels, test_labels = split_digits()
    with tempfile.TemporaryDirectory() as scratch:
        directory = pathlib.Path(scratch)
        inputs = {
            "train": upload(session, directory, "train", train_images, train_labels),
            "test": upload(session, directory, "test", test_images, test_labels),
        }
        started = time.monotonic()
        name = start_training(session, inputs, arguments)
        print(f"Training job {name} is submitted; this process does not wait for it.", flush=True)

        follow_in_another_process(name)

        estimator = TensorFlow.attach(name, sagemaker_session=session)
        print(f"TensorFlow.attach gave the estimator back after {time.monotonic() - started:.1f} s; "
              f"model: {estimator.model_data}")
        model = load_model(estimator.model_data, directory)
        probabilities = model.serve(test_images).numpy()
    accuracy = float(np.mean(probabilities.argmax(axis=1) == test_labels))
    print(f"Test accuracy: {accuracy:.4f} on {len(test_labels)} images the model has not seen")
    if accuracy <= TARGET_ACCURACY:
        sys.exit(f"The accuracy should be above {TARGET_ACCURACY}.")


if __name__ == "__main__":
    main()
