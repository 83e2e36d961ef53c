"""ResNet50 at batch 1, one request at a time: OpenVINO against TensorFlow's best setting, both through the model server.

Keras's ResNet50 with random weights, images of 224×224 in JSON, the server on two cores. TensorFlow runs with and without
oneDNN, each backend with one and with two threads in an operation, all in turns. The figure is the ratio of the best
requests a second.
"""

import contextlib
import statistics

from harness import Report, Row
from model_server import SERVER_CORES, CLIENT_CORES, build_native, http_load, image_body, model, model_server

NAME = "serving-openvino"
TARGET = 1.4


def settings(smoke):
    """{(backend, label): flags}"""
    chosen = {}
    for threads in [1] if smoke else [1, 2]:
        flags = ["--tensorflow_intra_op_parallelism", threads]
        for onednn in ["true"] if smoke else ["true", "false"]:
            chosen["TensorFlow", f"oneDNN {onednn}, threads {threads}"] = [*flags, "--onednn", onednn]
        chosen["OpenVINO", f"threads {threads}"] = [*flags, "--backend", "openvino"]
    return chosen


def run(smoke):
    rounds, seconds = (1, 0.5) if smoke else (5, 4)
    native, models, body = build_native(), {"resnet50": model("resnet50")}, image_body()
    path = "/v1/models/resnet50:predict"
    results = {}
    with contextlib.ExitStack() as stack:
        servers = {setting: stack.enter_context(model_server(models, *flags, cores=f"{SERVER_CORES},{CLIENT_CORES}"))
                   for setting, flags in settings(smoke).items()}
        for server in servers.values():
            http_load(native, server, path, body, 1, 0.5)
        for _ in range(rounds):
            for setting, server in servers.items():
                results.setdefault(setting, []).append(http_load(native, server, path, body, 1, seconds))
    failed = next((result for each in results.values() for result in each if result["failures"]), None)
    assert not failed, failed["first_failure"]
    rates = {setting: [result["requests"] / result["seconds"] for result in each] for setting, each in results.items()}
    best, notes = {}, []
    for backend in ("TensorFlow", "OpenVINO"):
        setting = max((key for key in rates if key[0] == backend), key=lambda key: statistics.median(rates[key]))
        best[backend] = statistics.median(rates[setting])
        notes.append(f"{backend}'s best: {setting[1]}")
    rows = []
    for setting, each in results.items():
        label = ", ".join(setting)
        rows += [Row(label, "1/s", rates[setting]),
                 Row(f"{label}: CPU a request", "ms", [result["cpu_ms_per_request"] for result in each]),
                 Row(f"{label}: p50", "ms", [result["p50_us"] / 1000 for result in each])]
    return Report(NAME, "ResNet50, one 224x224 image a request, one request at a time, two cores; figure = best OpenVINO "
                        "requests a second / best TensorFlow's", best["OpenVINO"] / best["TensorFlow"], "ratio", TARGET,
                  rows, notes, at_least=True)
