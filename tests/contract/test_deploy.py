"""The unmodified SDK from training to serving: deploy, predict in every form, update, take down."""

import logging

import boto3
import numpy as np
import pytest

from support.endpoints import MAKER, TRAIN
from support.waiting import wait_until

ROLE = "SageMakerRole"
HANDLERS = """\
import json

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
    (tmp_path / "train.py").write_text(TRAIN.format(names="'half_plus_three', 'half_plus_two'"))
    (tmp_path / "serving_models.py").write_text(MAKER.read_text())
    made = tensorflow.TensorFlow(entry_point="train.py", source_dir=str(tmp_path), role=ROLE, instance_count=1,
                                 instance_type="ml.m5.large", framework_version="2.19", py_version="py312",
                                 sagemaker_session=session, base_job_name="deploy")
    made.fit(wait=False)
    sdk_environment.names.append(made.latest_training_job.name)
    assert sdk_environment.wait(made.latest_training_job.name, 120)["TrainingJobStatus"] == "Completed"
    return made


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
    other = tensorflow.TensorFlowPredictor(predictor.endpoint_name, session, model_name="half_plus_two")
    assert predictor.predict({"instances": [1.0, 2.0, 5.0]}) == {"predictions": [3.5, 4.0, 5.5]}
    assert other.predict({"instances": [1.0, 2.0, 5.0]}) == {"predictions": [2.5, 3.0, 4.5]}
    assert other.predict([1.0, 2.0]) == {"predictions": [2.5, 3.0]}
    assert other.predict(np.array([4.0, 6.0])) == {"predictions": [4.0, 5.0]}
    assert other.classify({"signature_name": "classify_x_to_y", "examples": [{"x": 1.0}]}) == {
        "results": [[["high", 2.5], ["low", -2.5]]]}
    assert other.regress({"signature_name": "regress_x_to_y", "examples": [{"x": 1.0}]}) == {"results": [2.5]}
    csv = tensorflow.TensorFlowPredictor(predictor.endpoint_name, session, model_name="half_plus_two",
                                         serializer=serializers.CSVSerializer())
    assert csv.predict([[1.0], [2.0]]) == {"predictions": [[2.5], [3.0]]}
    lines = tensorflow.TensorFlowPredictor(predictor.endpoint_name, session, model_name="half_plus_two",
                                           serializer=serializers.JSONLinesSerializer())
    assert lines.predict([{"x": 1.0}, {"x": 2.0}]) == {"predictions": [2.5, 3.0]}
    arrays = tensorflow.TensorFlowPredictor(predictor.endpoint_name, session, model_name="half_plus_two",
                                            serializer=serializers.NumpySerializer(dtype="float32"),
                                            deserializer=deserializers.NumpyDeserializer())
    np.testing.assert_array_equal(arrays.predict(np.array([1.0, 2.0], "float32")), [2.5, 3.0])

    model = predictor._get_model_names()[0]
    predictor.update_endpoint(initial_instance_count=2, instance_type="ml.c5.large", model_name=model, wait=False)
    client = boto3.client("sagemaker")
    client.get_waiter("endpoint_in_service").wait(EndpointName=predictor.endpoint_name,
                                                  WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    variant, = client.describe_endpoint(EndpointName=predictor.endpoint_name)["ProductionVariants"]
    assert variant["CurrentInstanceCount"] == 2
    predictor.delete_model()
    predictor.delete_endpoint()
    gone(predictor.endpoint_name)


@pytest.mark.slow
def test_attached_and_from_artifacts_with_handlers(sdk, estimator, tmp_path):
    from sagemaker import deserializers, serializers

    tensorflow, session = sdk
    attached = tensorflow.TensorFlow.attach(estimator.latest_training_job.name, sagemaker_session=session)
    source = tmp_path / "serving"
    source.mkdir()
    (source / "inference.py").write_text(HANDLERS)
    model = tensorflow.TensorFlowModel(
        model_data=attached.model_data, role=ROLE, framework_version="2.19", entry_point="inference.py",
        source_dir=str(source), sagemaker_session=session,
        env={"SAGEMAKER_TFS_DEFAULT_MODEL_NAME": "half_plus_two"})
    predictor = model.deploy(initial_instance_count=1, instance_type="ml.c5.large", wait=False)
    boto3.client("sagemaker").get_waiter("endpoint_in_service").wait(
        EndpointName=predictor.endpoint_name, WaiterConfig={"Delay": 1, "MaxAttempts": 120})
    plain = tensorflow.TensorFlowPredictor(
        predictor.endpoint_name, session, serializer=serializers.IdentitySerializer("text/plain"),
        deserializer=deserializers.JSONDeserializer())
    assert plain.predict(b"1|2|5") == [2.5, 3.0, 4.5]
    predictor.delete_model()
    predictor.delete_endpoint()
    gone(predictor.endpoint_name)
