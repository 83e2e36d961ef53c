"""A large model: Keras's ResNet50 answers over REST and gRPC as Python's TensorFlow does."""

import grpc
import numpy as np
import pytest
import requests
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from conftest import expected, export

TIMEOUT = 120


@pytest.fixture(scope="module")
def known():
    """(images, what Python answers)."""
    answers = expected("resnet50")["serving_default"]
    return np.float32(next(iter(answers["inputs"].values()))), np.float32(next(iter(answers["outputs"].values())))


def test_resnet50(start_server, known):
    images, scores = known
    assert images.shape == (1, 224, 224, 3) and scores.shape == (1, 1000)
    server = start_server("--model", f"resnet50={export('resnet50')}")
    for form, key in (("instances", "predictions"), ("inputs", "outputs")):
        reply = requests.post(server.rest + "/v1/models/resnet50:predict", json={form: images.tolist()}, timeout=TIMEOUT)
        assert reply.status_code == 200, reply.text
        np.testing.assert_allclose(reply.json()[key], scores, rtol=1e-4, atol=1e-7)

    request = predict_pb2.PredictRequest()
    request.model_spec.name = "resnet50"
    (alias,) = expected("resnet50")["serving_default"]["inputs"]
    # Three images at once: a batch of them answers each as if it were alone.
    request.inputs[alias].CopyFrom(tf.make_tensor_proto(np.concatenate([images, images * 0, images])))
    with grpc.insecure_channel(server.grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        (answer,) = stub.Predict(request, timeout=TIMEOUT).outputs.values()
    answer = tf.make_ndarray(answer)
    np.testing.assert_allclose(answer[[0]], scores, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(answer[[2]], scores, rtol=1e-4, atol=1e-7)
    assert np.abs(answer[1] - answer[0]).max() > 1e-6
