"""What the model server adds to a bare SessionRun loop: CPU time and latency of a request of one 28x28 image.

Both sides run the same SavedModel with the same kernels on the same core, one request at a time; the client has the
other core. The figure is the CPU time that a JSON request takes beyond the bare run.
"""

import json
import statistics
import subprocess

from harness import Report, Row
from model_server import (CLIENT_CORES, bare_loop, build_native, digits_body, http_load, model, model_server,
                          onednn_flags, pinned, serving_python)

NAME = "serving-overhead"
TARGET_US = 100
GRPC_TARGET_US, LATENCY_TARGET_US = 60, 150
GRPC_CLIENT = """
import json, sys, time
import grpc, numpy as np
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2
port, seconds, name = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
image = np.random.default_rng(3).random((1, 28, 28, 1), dtype="float32")
shape = tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=n) for n in image.shape])
request = predict_pb2.PredictRequest()
request.model_spec.name = "digits"
request.inputs[name].CopyFrom(tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_shape=shape,
                                                     tensor_content=image.tobytes()))
stub = prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel(f"127.0.0.1:{port}"))
for _ in range(50):
    stub.Predict(request)
times, until = [], time.perf_counter() + seconds
while time.perf_counter() < until:
    begin = time.perf_counter()
    stub.Predict(request)
    times.append((time.perf_counter() - begin) * 1e6)
times.sort()
print(json.dumps({"requests": len(times) + 50, "p50_us": times[len(times) // 2]}))
"""


def grpc_load(server, seconds):
    input_name = next(iter(json.loads((model("digits") / "1/expected.json").read_text())["serving_default"]["inputs"]))
    command = [serving_python(), "-c", GRPC_CLIENT, server.ports["grpc"], seconds, input_name]
    before = server.cpu_seconds()
    output = subprocess.run(pinned(CLIENT_CORES, command), check=True, capture_output=True, text=True).stdout
    result = json.loads(output.splitlines()[-1])
    result["cpu_ms_per_request"] = (server.cpu_seconds() - before) * 1000 / result["requests"]
    return result


def run(smoke):
    rounds, seconds = (1, 0.5) if smoke else (5, 4)
    native, digits = build_native(), model("digits")
    bare, rest, grpc = [], [], []
    with model_server({"digits": digits}, *onednn_flags()) as server:
        path = "/v1/models/digits:predict"
        http_load(native, server, path, digits_body(1), 1, 0.5)
        for _ in range(rounds):
            bare.append(bare_loop(native, digits / "1", 1, 1, seconds))
            rest.append(http_load(native, server, path, digits_body(1), 1, seconds))
            grpc.append(grpc_load(server, seconds))
    assert not sum(result["failures"] for result in rest), rest[0]["first_failure"]

    def microseconds(results, key, scale):
        return [result[key] * scale for result in results]

    bare_cpu = microseconds(bare, "cpu_ms_per_run", 1000)
    rest_cpu = microseconds(rest, "cpu_ms_per_request", 1000)
    grpc_cpu = microseconds(grpc, "cpu_ms_per_request", 1000)
    middle = statistics.median
    figure = middle(rest_cpu) - middle(bare_cpu)
    grpc_figure = middle(grpc_cpu) - middle(bare_cpu)
    added = middle(microseconds(rest, "p50_us", 1)) - middle(microseconds(bare, "p50_us", 1))
    rows = [Row("bare loop: CPU a run", "us", bare_cpu), Row("JSON: CPU a request", "us", rest_cpu),
            Row("gRPC: CPU a request", "us", grpc_cpu), Row("bare loop: p50", "us", microseconds(bare, "p50_us", 1)),
            Row("JSON: p50", "us", microseconds(rest, "p50_us", 1)),
            Row("gRPC, Python client: p50", "us", microseconds(grpc, "p50_us", 1))]
    notes = [f"Added by gRPC: {grpc_figure:.0f} us CPU (target {GRPC_TARGET_US}). "
             f"Added to the p50 by JSON: {added:.0f} us (target {LATENCY_TARGET_US})."]
    return Report(NAME, "One 28x28 image a request, one request at a time; figure = CPU of a JSON request - CPU of a bare run",
                  figure, "us", TARGET_US, rows, notes)
