"""TensorFlow Serving's own client against the model server's gRPC port. The fixture `model_server` has the test models
half_plus_two, digits, signatures, strings and types loaded under these names, from SAGEBRUSH_SERVING_MODELS, where
tests/support/serving_models.py made them."""

import json
import os
import pathlib

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (classification_pb2, get_model_metadata_pb2, get_model_status_pb2, inference_pb2,
                                     model_management_pb2, model_service_pb2_grpc, predict_pb2,
                                     prediction_service_pb2_grpc, regression_pb2)

from conftest import export
from support.waiting import wait_until

TIMEOUT = 30
NUMBERS = ("float32", "float64", "int8", "uint8", "int16", "int32", "uint32", "int64", "uint64", "bool")


@pytest.fixture(scope="module")
def channel(model_server):
    with grpc.insecure_channel(model_server.grpc) as made:
        yield made


@pytest.fixture(scope="module")
def prediction(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def models(channel):
    return model_service_pb2_grpc.ModelServiceStub(channel)


def request_for(model, signature="", version=None, label=None, outputs=(), **inputs):
    request = predict_pb2.PredictRequest(output_filter=outputs)
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    for alias, value in inputs.items():
        request.inputs[alias].CopyFrom(value if isinstance(value, tensor_pb2.TensorProto)
                                       else tf.make_tensor_proto(value))
    return request


def refused(call, request):
    with pytest.raises(grpc.RpcError) as error:
        call(request, timeout=TIMEOUT)
    return error.value.code(), error.value.details()


def example(**features):
    return tf.train.Example(features=tf.train.Features(feature={
        name: tf.train.Feature(float_list=tf.train.FloatList(value=[value])) for name, value in features.items()}))


def with_examples(request, model, signature, *examples, context=None):
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    if context is None:
        request.input.example_list.examples.extend(examples)
    else:
        request.input.example_list_with_context.examples.extend(examples)
        request.input.example_list_with_context.context.CopyFrom(context)
    return request


def test_predict_answers_in_the_list_of_the_type_and_says_who(prediction):
    response = prediction.Predict(request_for("half_plus_two", x=np.float32([1, 2, 5])), timeout=TIMEOUT)
    assert list(response.outputs["y"].float_val) == [2.5, 3.0, 4.5]
    assert tf.make_ndarray(response.outputs["y"]).tolist() == [2.5, 3.0, 4.5]
    assert (response.model_spec.name, response.model_spec.version.value) == ("half_plus_two", 1)
    assert response.model_spec.signature_name == "serving_default"


def test_content_lists_and_short_lists_mean_the_same(prediction):
    content = tf.make_tensor_proto(np.float32([4, 4]))
    assert content.tensor_content
    listed = tensor_pb2.TensorProto(dtype=content.dtype, tensor_shape=content.tensor_shape, float_val=[4, 4])
    short = tensor_pb2.TensorProto(dtype=content.dtype, tensor_shape=content.tensor_shape, float_val=[4])
    for tensor in (content, listed, short):
        response = prediction.Predict(request_for("half_plus_two", x=tensor), timeout=TIMEOUT)
        assert list(response.outputs["y"].float_val) == [4, 4]


def test_every_type_passes_through(prediction):
    sent = {f"in_{kind}": np.array([0, 1, 100], kind) for kind in NUMBERS}
    request = request_for("types", **sent, in_string=np.array([b"", b"\xff\x00", "ü".encode()], object))
    response = prediction.Predict(request, timeout=TIMEOUT)
    for kind in NUMBERS:
        answered = tf.make_ndarray(response.outputs[f"out_{kind}"])
        assert answered.dtype == np.dtype(kind)
        assert answered.tolist() == sent[f"in_{kind}"].tolist()
    assert list(response.outputs["out_string"].string_val) == [b"", b"\xff\x00", "ü".encode()]


def test_half_floats(prediction):
    response = prediction.Predict(request_for("types", "half", x=np.float16([0.5, -2])), timeout=TIMEOUT)
    assert tf.make_ndarray(response.outputs["y"]).tolist() == [1.5, -1.0]


def test_digits_agree_with_python(prediction):
    """expected.json holds what Python's TensorFlow answered from the same SavedModel."""
    directory = pathlib.Path(os.environ["SAGEBRUSH_SERVING_MODELS"]) / "digits" / "1"
    expected = json.loads((directory / "expected.json").read_text())["serving_default"]
    inputs = {alias: np.float32(values) for alias, values in expected["inputs"].items()}
    outputs = prediction.Predict(request_for("digits", **inputs), timeout=TIMEOUT).outputs
    assert set(outputs) == set(expected["outputs"])
    for alias, values in expected["outputs"].items():
        np.testing.assert_allclose(tf.make_ndarray(outputs[alias]), values, rtol=1e-4, atol=1e-6)


def test_signatures_filters_and_scalars(prediction):
    a, b = np.float32([[1, 2]]), np.float32([[10, 20]])
    response = prediction.Predict(request_for("signatures", a=a, b=b), timeout=TIMEOUT)
    assert set(response.outputs) == {"sum", "difference"}
    response = prediction.Predict(request_for("signatures", a=a, b=b, outputs=["difference"]), timeout=TIMEOUT)
    assert {alias: tf.make_ndarray(value).tolist() for alias, value in response.outputs.items()} == {
        "difference": [[-9, -18]]}
    response = prediction.Predict(
        request_for("signatures", "scale", x=np.float32([[1, 2, 3]]), factor=np.float32(2.5)), timeout=TIMEOUT)
    assert tf.make_ndarray(response.outputs["scaled"]).tolist() == [[2.5, 5, 7.5]]
    assert response.model_spec.signature_name == "scale"


def test_strings_of_any_bytes(prediction):
    text = np.array([b"abc", b"\x00\xfe"], object)
    response = prediction.Predict(request_for("strings", text=text), timeout=TIMEOUT)
    assert list(response.outputs["raw_bytes"].string_val) == [b"abc\x00\xff", b"\x00\xfe\x00\xff"]
    assert tf.make_ndarray(response.outputs["length"]).tolist() == [3, 2]


@pytest.mark.parametrize("request_, code, text", [
    (request_for("nobody", x=1.0), "NOT_FOUND", "Servable not found for request: Latest(nobody)"),
    (request_for("half_plus_two", version=9, x=1.0), "NOT_FOUND",
     "Servable not found for request: Specific(half_plus_two, 9)"),
    (request_for("half_plus_two", label="canary", x=1.0), "INVALID_ARGUMENT",
     "Unrecognized servable version label: canary"),
    (request_for("", x=1.0), "INVALID_ARGUMENT", "ModelSpec has no name"),
    (predict_pb2.PredictRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
    (request_for("half_plus_two", "S", x=[1.0]), "FAILED_PRECONDITION", 'Serving signature key "S" not found.'),
    (request_for("signatures", a=[[1.0, 2.0]]), "INVALID_ARGUMENT",
     "input size does not match signature: 1!=2 len({a}) != len({a,b}). Sent extra: {}. Missing but required: {b}."),
    (request_for("half_plus_two", x=[1.0], outputs=["z"]), "INVALID_ARGUMENT",
     "output tensor alias not found in signature: z Outputs expected to be in the set {y}."),
], ids=["model", "version", "label", "no name", "no spec", "signature", "inputs", "output"])
def test_errors_in_tensorflow_servings_words(prediction, request_, code, text):
    assert refused(prediction.Predict, request_) == (getattr(grpc.StatusCode, code), text)


def test_another_type_and_a_failing_model_are_the_clients_errors(prediction):
    assert refused(prediction.Predict, request_for("half_plus_two", x=["text"]))[0] == grpc.StatusCode.INVALID_ARGUMENT
    code, text = refused(prediction.Predict, request_for("signatures", "lookup", keys=np.int64([99])))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "is not in [0, 10)" in text
    response = prediction.Predict(request_for("signatures", "lookup", keys=np.int64([3])), timeout=TIMEOUT)
    assert tf.make_ndarray(response.outputs["values"]).tolist() == [103]


def test_classify_and_regress_with_context(prediction):
    request = with_examples(regression_pb2.RegressionRequest(), "half_plus_two", "regress_x_to_y", example(x=3),
                            example(x=4))
    response = prediction.Regress(request, timeout=TIMEOUT)
    assert [regression.value for regression in response.result.regressions] == [3.5, 4.0]
    assert response.model_spec.signature_name == "regress_x_to_y"

    request = with_examples(regression_pb2.RegressionRequest(), "half_plus_two", "regress_x_to_y", example(),
                            example(x=4), context=example(x=10))
    response = prediction.Regress(request, timeout=TIMEOUT)
    assert [regression.value for regression in response.result.regressions] == [7.0, 4.0]

    request = with_examples(classification_pb2.ClassificationRequest(), "half_plus_two", "classify_x_to_y",
                            example(x=2))
    response = prediction.Classify(request, timeout=TIMEOUT)
    (row,) = response.result.classifications
    assert [(entry.label, entry.score) for entry in row.classes] == [("high", 3.0), ("low", -3.0)]

    request.model_spec.signature_name = "serving_default"
    code, text = refused(prediction.Classify, request)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert text.startswith("Expected classification signature method_name to be tensorflow/serving/classify. Was: ")
    empty = with_examples(classification_pb2.ClassificationRequest(), "half_plus_two", "classify_x_to_y")
    assert refused(prediction.Classify, empty) == (grpc.StatusCode.INVALID_ARGUMENT, "Input is empty.")


def test_multi_inference(prediction):
    request = inference_pb2.MultiInferenceRequest()
    for method in ("regress", "classify"):
        task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name = "half_plus_two"
        task.model_spec.signature_name = f"{method}_x_to_y"
    request.input.example_list.examples.append(example(x=2))
    regression, classification = prediction.MultiInference(request, timeout=TIMEOUT).results
    assert regression.regression_result.regressions[0].value == 3.0
    assert classification.classification_result.classifications[0].classes[1].score == -3.0
    assert regression.model_spec.signature_name == "regress_x_to_y"


def test_metadata(prediction):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "signatures"
    response = prediction.GetModelMetadata(request, timeout=TIMEOUT)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert set(signatures.signature_def) == {"serving_default", "scale", "lookup"}
    scale = signatures.signature_def["scale"]
    assert [dim.size for dim in scale.inputs["x"].tensor_shape.dim] == [-1, -1]
    assert len(scale.inputs["factor"].tensor_shape.dim) == 0
    assert scale.inputs["x"].dtype == tf.float32.as_datatype_enum
    assert scale.method_name == "tensorflow/serving/predict"
    assert response.model_spec.version.value == 1


def test_status(models):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "half_plus_two"
    (status,) = models.GetModelStatus(request, timeout=TIMEOUT).model_version_status
    assert (status.version, status.state, status.status.error_code) == (1, status.AVAILABLE, 0)
    request.model_spec.name = "nobody"
    assert refused(models.GetModelStatus, request) == (grpc.StatusCode.NOT_FOUND,
                                                       "Could not find any versions of model nobody")


def test_a_reload_that_contradicts_itself_changes_nothing(models, prediction):
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.config.add(name="half_plus_two")
    code, text = refused(models.HandleReloadConfigRequest, request)
    assert (code, text) == (grpc.StatusCode.INVALID_ARGUMENT, "config 0: model half_plus_two has no base_path")
    prediction.Predict(request_for("half_plus_two", x=[1.0]), timeout=TIMEOUT)


def test_a_reload_replaces_the_set_of_models(start_server):
    server = start_server("--model", f"two={export('half_plus_two')}")
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.config.add(name="three", base_path=str(export("half_plus_three")),
                                                model_platform="tensorflow")
    with grpc.insecure_channel(server.grpc) as own:
        answer = model_service_pb2_grpc.ModelServiceStub(own).HandleReloadConfigRequest(request, timeout=TIMEOUT)
        assert answer.status.error_code == 0
        stub = prediction_service_pb2_grpc.PredictionServiceStub(own)
        assert stub.Predict(request_for("three", x=[1.0]), timeout=TIMEOUT).outputs["y"].float_val == [3.5]
        wait_until(lambda: refused_with(stub.Predict, request_for("two", x=[1.0])) == grpc.StatusCode.NOT_FOUND,
                   what="the end of the model that was left out")


def refused_with(call, request):
    try:
        call(request, timeout=TIMEOUT)
    except grpc.RpcError as error:
        return error.code()
    return None
