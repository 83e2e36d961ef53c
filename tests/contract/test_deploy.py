"""The unmodified SDK from training to serving: deploy, predict in every form, update, take down."""

import logging

import boto3
import numpy as np
import pytest

from support.endpoints import MAKER
from support.waiting import wait_until

ROLE = "SageMakerRole"
# Two models: x / 2 + 2, with signatures for tf.Examples, and the sums of rows of three.
TRAIN = """\
import runpy, shutil, sys
import tensorflow as tf

sys.argv = ["serving_models.py", "/tmp/models", "half_plus_two"]
runpy.run_path("serving_models.py", run_name="__main__")
shutil.copytree("/tmp/models/half_plus_two", "/opt/ml/model/half_plus_two")

class Sums(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="rows")])
    def serve(self, rows):
        return {"sums": tf.reduce_sum(rows, 1)}

sums = Sums()
tf.saved_model.save(sums, "/opt/ml/model/sums/1", signatures={"serving_default": sums.serve})
"""
HANDLERS = """\
import json

import colorama  # of requirements.txt

def input_handler(data, context):
    return json.dumps({"instances": [float(x) for x in data.read().decode().split("|")]})

def output_handler(response, context):
    return json.dumps(json.loads(response.content)["predictions"]), "application/json"
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("deploy")


@pytest.fixture
def sdk(sdk_environment):
    import sagemaker
    from sagemaker import tensorflow

    logging.getLogger("sagemaker").setLevel(logging.ERROR)
    return tensorflow, sagemaker.Session()


@pytest.fixture
def estimator(sdk, sdk_environment, tmp_path):
    """One that has trained: its model is two SavedModels."""
    tensorflow, session = sdk
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "serving_models.py").write_text(MAKER.read_text())
    made = tensorflow.TensorFlow(entry_point="train.py", source_dir=str(tmp_path), role=ROLE, instance_count=1,
                                 instance_type="ml.m5.large", framework_version="2.19", py_version="py312",
                                 sagemaker_session=session, base_job_name="deploy")
    made.fit(wait=False)
    sdk_environment.names.append(made.latest_training_job.name)
    assert sdk_environment.wait(made.latest_training_job.name, 120)["TrainingJobStatus"] == "Completed"
    return made


def in_service(name):
    """The endpoint's description once it serves; the SDK's own wait looks twice a minute."""
    client = boto3.client("sagemaker")

    def settled():
        description = client.describe_endpoint(EndpointName=name)
        return description if description["EndpointStatus"] in ("InService", "Failed") else None

    description = wait_until(settled, 120, f"endpoint {name} to settle")
    assert description["EndpointStatus"] == "InService", description["FailureReason"]
    return description


def gone(name):
    client = boto3.client("sagemaker")

    def missing():
        try:
            client.describe_endpoint(EndpointName=name)
        except client.exceptions.ClientError as error:
            return "Could not find" in str(error)
        return False

    wait_until(missing, 60, f"endpoint {name} to be deleted")


@pytest.mark.slow
def test_from_an_estimator_to_predictions_and_back(sdk, estimator):
    from sagemaker import deserializers, serializers

    tensorflow, session = sdk
    predictor = estimator.deploy(initial_instance_count=1, instance_type="ml.c5.xlarge")

    def asking(model, **forms):
        return tensorflow.TensorFlowPredictor(predictor.endpoint_name, session, model_name=model, **forms)

    half, sums = asking("half_plus_two"), asking("sums")
    assert predictor.predict({"instances": [1.0, 2.0, 5.0]}) == {"predictions": [2.5, 3.0, 4.5]}  # the first by name
    assert half.predict({"inputs": {"x": [1.0, 2.0]}}) == {"outputs": [2.5, 3.0]}
    assert sums.predict([[1, 2, 3], [4, 5, 6]]) == {"predictions": [6.0, 15.0]}
    assert sums.predict([1, 2, 3]) == {"predictions": [6.0]}
    assert sums.predict(np.array([[1.0, 2.0, 4.0]])) == {"predictions": [7.0]}
    assert half.classify({"signature_name": "classify_x_to_y", "examples": [{"x": 1.0}]}) == {
        "results": [[["high", 2.5], ["low", -2.5]]]}
    assert half.regress({"signature_name": "regress_x_to_y", "examples": [{"x": 1.0}]}) == {"results": [2.5]}
    assert asking("sums", serializer=serializers.CSVSerializer()).predict([[1, 2, 3], [4, 5, 6]]) == {
        "predictions": [6.0, 15.0]}
    lines = asking("sums", serializer=serializers.JSONLinesSerializer())
    assert lines.predict([[1, 2, 3], [4, 5, 6]]) == {"predictions": [6.0, 15.0]}
    arrays = asking("sums", serializer=serializers.NumpySerializer(dtype="float32"),
                    deserializer=deserializers.NumpyDeserializer())
    np.testing.assert_array_equal(arrays.predict(np.array([[1, 2, 3], [4, 5, 6]])), [6.0, 15.0])

    model = predictor._get_model_names()[0]
    predictor.update_endpoint(initial_instance_count=2, instance_type="ml.c5.large", model_name=model, wait=False)
    variant, = in_service(predictor.endpoint_name)["ProductionVariants"]
    assert variant["CurrentInstanceCount"] == 2
    predictor.delete_model()
    predictor.delete_endpoint()
    gone(predictor.endpoint_name)


@pytest.mark.slow
def test_attached_and_from_artifacts_with_handlers(sdk, estimator, tmp_path):
    from sagemaker import deserializers, serializers
    from sagemaker.predictor import Predictor

    tensorflow, session = sdk
    attached = tensorflow.TensorFlow.attach(estimator.latest_training_job.name, sagemaker_session=session)
    source = tmp_path / "serving"
    source.mkdir()
    (source / "inference.py").write_text(HANDLERS)
    (source / "requirements.txt").write_text("colorama==0.4.6\n")
    model = tensorflow.TensorFlowModel(
        model_data=attached.model_data, role=ROLE, framework_version="2.19", entry_point="inference.py",
        source_dir=str(source), sagemaker_session=session,
        env={"SAGEMAKER_TFS_DEFAULT_MODEL_NAME": "half_plus_two"})
    predictor = model.deploy(initial_instance_count=1, instance_type="ml.c5.large", wait=False)
    bare = tensorflow.TensorFlowModel(
        model_data=attached.model_data, role=ROLE, framework_version="2.19", sagemaker_session=session).deploy(
            initial_instance_count=1, instance_type="ml.c5.large", wait=False)
    for each in (predictor, bare):
        in_service(each.endpoint_name)
    plain = tensorflow.TensorFlowPredictor(
        predictor.endpoint_name, session, serializer=serializers.IdentitySerializer("text/plain"),
        deserializer=deserializers.JSONDeserializer())
    assert plain.predict(b"1|2|5") == [2.5, 3.0, 4.5]
    by_name = Predictor(bare.endpoint_name, session, serializers.JSONSerializer(), deserializers.JSONDeserializer())
    assert by_name.predict({"instances": [1.0]}) == {"predictions": [2.5]}
    for each in (predictor, bare):
        each.delete_model()
        each.delete_endpoint()
        gone(each.endpoint_name)
