"""Deploys the model of a finished training job, asks it about digits it has not seen, and takes everything down again.

An ordinary SageMaker script, as fit_and_attach.py is.  Before it:  eval "$(sagebrush env)"
"""

import argparse
import statistics
import sys
import time

import boto3
import numpy as np
import sagemaker
from fit_and_attach import TARGET_ACCURACY, split_digits
from sagemaker.tensorflow import TensorFlow

BATCH = 32


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", nargs="?", help="a training job of fit_and_attach.py; the newest one when left out")
    parser.add_argument("--instance-type", default="ml.c5.xlarge")
    return parser.parse_args()


def newest_job():
    jobs = boto3.client("sagemaker").list_training_jobs(
        NameContains="digits", StatusEquals="Completed", SortBy="CreationTime", MaxResults=1)["TrainingJobSummaries"]
    if not jobs:
        sys.exit("No training job of this example is completed yet: run examples/digits/fit_and_attach.py first.")
    return jobs[0]["TrainingJobName"]


def deploy(estimator, instance_type):
    started = time.monotonic()
    predictor = estimator.deploy(initial_instance_count=1, instance_type=instance_type, wait=False)
    # As the SDK's own wait, which looks twice a minute; here an endpoint is there within seconds.
    boto3.client("sagemaker").get_waiter("endpoint_in_service").wait(
        EndpointName=predictor.endpoint_name, WaiterConfig={"Delay": 1, "MaxAttempts": 300})
    print(f"Endpoint {predictor.endpoint_name} is in service after {time.monotonic() - started:.1f} s")
    return predictor


def ask(predictor, images):
    """The most likely digit of each image."""
    predictions = predictor.predict({"instances": images.tolist()})["predictions"]
    return np.argmax(predictions, axis=1)


def main():
    arguments = parse_arguments()
    _, images, _, labels = split_digits()
    estimator = TensorFlow.attach(arguments.job or newest_job(), sagemaker_session=sagemaker.Session())
    predictor = deploy(estimator, arguments.instance_type)
    try:
        answers = np.concatenate([ask(predictor, images[at:at + BATCH]) for at in range(0, len(images), BATCH)])
        accuracy = float(np.mean(answers == labels))
        times = []
        for image in images[:100]:
            began = time.perf_counter()
            ask(predictor, image[None])
            times.append((time.perf_counter() - began) * 1000)
        print(f"Endpoint accuracy: {accuracy:.4f} on {len(labels)} images; one image takes "
              f"{statistics.median(times):.1f} ms in the middle, {max(times):.1f} ms at most")
    finally:
        predictor.delete_model()
        predictor.delete_endpoint()
        print("Model, endpoint and its configuration are deleted")
    if accuracy <= TARGET_ACCURACY:
        sys.exit(f"The accuracy should be above {TARGET_ACCURACY}.")


if __name__ == "__main__":
    main()
