"""The digits with version 3 of the SageMaker Python SDK: trains by a ModelTrainer, deploys by a ModelBuilder, predicts.

Nothing here knows of Sagebrush. Before it:  eval "$(sagebrush env)"
"""

import argparse
import json
import logging
import os
import pathlib
import sys
import tempfile
import time

import numpy as np
from sagemaker.core import image_uris
from sagemaker.core.resources import EndpointConfig
from sagemaker.serve import ModelBuilder
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, SourceCode
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

HERE = pathlib.Path(__file__).resolve().parent
TARGET_ACCURACY = 0.95
BATCH = 32


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--framework-version", default="2.19")
    parser.add_argument("--py-version", default="py312")
    parser.add_argument("--instance-type", default="ml.c5.xlarge")
    return parser.parse_args()


def image(scope, arguments):
    python = {"py_version": arguments.py_version} if scope == "training" else {}
    return image_uris.retrieve("tensorflow", os.environ["AWS_DEFAULT_REGION"], version=arguments.framework_version,
                               instance_type=arguments.instance_type, image_scope=scope, **python)


def split_digits():
    """1,797 images of 8x8 pixels, a fifth of them held back for the test."""
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1).astype("float32")
    return train_test_split(images, labels, test_size=0.2, random_state=7, stratify=labels)


def train(directory, arguments):
    """The finished job, whose output has been printed while it ran. Its channels are local directories."""
    train_images, test_images, train_labels, test_labels = split_digits()
    for channel, images, labels in (("train", train_images, train_labels), ("test", test_images, test_labels)):
        (directory / channel).mkdir()
        np.savez_compressed(directory / channel / f"{channel}.npz", images=images, labels=labels)
    trainer = ModelTrainer(
        training_image=image("training", arguments),
        source_code=SourceCode(source_dir=str(HERE), entry_script="train.py"),
        compute=Compute(instance_type=arguments.instance_type, instance_count=1),
        hyperparameters={"epochs": arguments.epochs, "batch-size": 32, "learning-rate": 0.001},
        base_job_name="digits-v3",
    )
    trainer.train(input_data_config=[InputData(channel_name=channel, data_source=str(directory / channel))
                                     for channel in ("train", "test")])
    return trainer._latest_training_job


def deploy(job, arguments):
    builder = ModelBuilder(s3_model_data_url=job.model_artifacts.s3_model_artifacts,
                           image_uri=image("inference", arguments), instance_type=arguments.instance_type)
    model = builder.build()
    started = time.monotonic()
    endpoint = builder.deploy(endpoint_name=job.training_job_name, wait=False)
    # As the SDK's own wait, which looks twice a minute; here an endpoint is there within seconds.
    endpoint.wait_for_status("InService", poll=1)
    print(f"Endpoint {endpoint.endpoint_name} is in service after {time.monotonic() - started:.1f} s")
    return model, endpoint


def ask(endpoint, images):
    """The most likely digit of each image."""
    reply = endpoint.invoke(body=json.dumps({"instances": images.tolist()}), content_type="application/json")
    return np.argmax(json.loads(reply.body.read())["predictions"], axis=1)


def main():
    arguments = parse_arguments()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout, force=True)
    logging.getLogger("sagemaker.core.resources").setLevel(logging.INFO)  # where the SDK prints a job's output
    with tempfile.TemporaryDirectory() as scratch:
        job = train(pathlib.Path(scratch), arguments)
    print(f"Training job {job.training_job_name}: {job.training_job_status}, {job.model_artifacts.s3_model_artifacts}")
    model, endpoint = deploy(job, arguments)
    try:
        _, images, _, labels = split_digits()
        answers = np.concatenate([ask(endpoint, images[at:at + BATCH]) for at in range(0, len(images), BATCH)])
        accuracy = float(np.mean(answers == labels))
        print(f"Endpoint accuracy: {accuracy:.4f} on {len(labels)} images")
    finally:
        EndpointConfig.get(endpoint.endpoint_config_name).delete()
        endpoint.delete()
        model.delete()
        print("Model, endpoint and its configuration are deleted")
    if accuracy <= TARGET_ACCURACY:
        sys.exit(f"The accuracy should be above {TARGET_ACCURACY}.")


if __name__ == "__main__":
    main()
