"""Work that waits for its turn: bounded, and not done any more when nobody waits for it.

The servers here have one thread that computes, and a first request keeps it busy. What was computed is counted by the
server's own metrics.
"""

import concurrent.futures
import json
import re
import socket
import time

import grpc
import pytest
import requests
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from artifacts import artifact
from conftest import export
from support.waiting import wait_until

PREDICT = "/v1/models/steps:predict"
COUNT = re.compile(r'^:tensorflow:serving:request_count\{model_name="steps",status="(\w+)"\} (\d+)', re.MULTILINE)


def answered(server):
    """How many requests the model was asked for, by outcome."""
    text = requests.get(server.rest + "/monitoring/prometheus/metrics", timeout=60).text
    return {status: int(count) for status, count in COUNT.findall(text)}


def steps_for(server, seconds):
    """How many steps keep the model busy for that long, by a trial."""
    trial = 20_000
    while True:
        began = time.monotonic()
        reply = requests.post(server.rest + PREDICT, json={"instances": [trial]}, timeout=60)
        assert reply.json() == {"predictions": [trial]}
        took = time.monotonic() - began
        if took > 0.5:
            return int(trial * seconds / took)
        trial *= 2


def predict(steps):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "steps"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([float(steps)]))
    return request


def occupy(server, stub, seconds):
    """Asks for that much work and gives the answer up; it is being computed from then on."""
    with pytest.raises(grpc.RpcError) as given_up:
        stub.Predict(predict(steps_for(server, seconds)), timeout=1)
    assert given_up.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def leave_over_http(url, path, headers=()):
    """A whole request, whose client goes without waiting for the reply."""
    host, port = url.removeprefix("http://").split(":")
    body = json.dumps({"instances": [1.0]})
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}", *headers]
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode())


@pytest.fixture
def server(hosting_server, tmp_path):
    export("steps")
    return hosting_server(artifact(tmp_path, steps="steps"), "--compute_threads", "1")


def test_a_client_that_leaves_takes_its_queued_work_along(server):
    with grpc.insecure_channel(server.grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        occupy(server, stub, seconds=8)
        before = answered(server).get("OK", 0)
        leave_over_http(server.rest, PREDICT)
        leave_over_http(server.url, "/invocations", ["Content-Type: application/json"])
        cancelled = stub.Predict.future(predict(1))
        with pytest.raises(grpc.FutureTimeoutError):
            cancelled.result(timeout=0.3)
        cancelled.cancel()
        assert stub.Predict(predict(2), timeout=60).outputs["y"].float_val == [2.0]  # queued behind them
    assert answered(server)["OK"] == before + 2, "the work that was given up while it ran, and the last"


def test_a_deadline_that_passes_in_the_queue(start_server):
    server = start_server("--model", f"steps={export('steps')}", "--compute_threads", "1",
                          "--rest_api_timeout_in_ms", "1500")
    with grpc.insecure_channel(server.grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        occupy(server, stub, seconds=8)
        before = answered(server).get("OK", 0)
        began = time.monotonic()
        reply = requests.post(server.rest + PREDICT, json={"instances": [1.0]}, timeout=60)
        assert (reply.status_code, reply.json()) == (504, {"error": "The model did not answer before the deadline."})
        assert 1.4 < time.monotonic() - began < 6, "not before its time, and without waiting for the model"
        with pytest.raises(grpc.RpcError) as late:
            stub.Predict(predict(1), timeout=0.5)
        assert late.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        wait_until(lambda: answered(server).get("OK", 0) > before, 60, "the end of the first work")
        assert stub.Predict(predict(2), timeout=60).outputs["y"].float_val == [2.0]
    assert answered(server)["OK"] == before + 2


def test_a_full_queue_answers_503_at_once(start_server):
    server = start_server("--model", f"steps={export('steps')}", "--compute_threads", "1", "--queue_limit", "1")
    with grpc.insecure_channel(server.grpc) as channel, concurrent.futures.ThreadPoolExecutor(3) as pool:
        occupy(server, prediction_service_pb2_grpc.PredictionServiceStub(channel), seconds=8)
        before = answered(server).get("OK", 0)
        asked = [pool.submit(requests.post, server.rest + PREDICT, json={"instances": [1.0]}, timeout=60)
                 for _ in range(3)]
        replies = [future.result() for future in concurrent.futures.as_completed(asked)]
    # There is one place in the queue: who got it was answered last, when the first work had ended.
    assert [reply.status_code for reply in replies] == [503, 503, 200]
    for refused in replies[:2]:
        assert refused.headers["Retry-After"] and refused.elapsed.total_seconds() < replies[2].elapsed.total_seconds()
        assert refused.json()["error"].startswith("The server is busy")
    assert answered(server)["OK"] == before + 2
