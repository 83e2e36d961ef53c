"""Versions that come, go and fail while the server runs; configuration files; starts that must fail."""

import concurrent.futures
import json
import shutil
import subprocess

import numpy as np
import pytest
import requests

from conftest import binary, expected, export
from support.waiting import wait_until

PATH = "/v1/models/m"


def publish(models, version, source):
    """A version that appears whole."""
    scratch = models / ".making"
    shutil.copytree(export(source) / "1", scratch)
    scratch.rename(models / str(version))


def ask(server, value=1.0, version=None):
    path = PATH + (f"/versions/{version}" if version else "")
    return requests.post(f"{server.rest}{path}:predict", json={"instances": [value]}, timeout=60)


def states(server):
    reply = requests.get(server.rest + PATH, timeout=60).json()
    return {int(status["version"]): status for status in reply["model_version_status"]}


@pytest.fixture
def models(tmp_path):
    directory = tmp_path / "models"
    directory.mkdir()
    publish(directory, 1, "half_plus_two")
    return directory


def test_a_newer_version_takes_over_without_a_failed_request(start_server, models):
    server = start_server("--model", f"m={models}", "--file_system_poll_wait_seconds", "0.05")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        done = []

        def load():
            answers = set()
            while not done:
                reply = ask(server)
                assert reply.status_code == 200, reply.text
                answers.add(reply.json()["predictions"][0])
            return answers

        loads = [pool.submit(load) for _ in range(4)]
        try:
            publish(models, 2, "half_plus_three")
            wait_until(lambda: states(server).get(1, {}).get("state") == "END", what="the old version's end")
        finally:
            done.append(True)
        assert set.union(*(future.result() for future in loads)) == {2.5, 3.5}
    assert ask(server).json() == {"predictions": [3.5]}
    assert ask(server, version=1).status_code == 404


def test_a_corrupt_version_is_named_and_the_running_one_stays(start_server, models):
    server = start_server("--model", f"m={models}", "--file_system_poll_wait_seconds", "0.05")
    (models / ".making").mkdir()
    (models / ".making" / "saved_model.pb").write_bytes(b"not a model")
    (models / ".making").rename(models / "2")
    status = wait_until(lambda: states(server).get(2, {}).get("status", {}).get("error_code", "OK") != "OK" and
                        states(server)[2]["status"], what="the failed load")
    assert status["error_message"]
    assert ask(server).json() == {"predictions": [2.5]}


def test_memory_comes_back_after_an_unload(start_server, tmp_path, models):
    config = tmp_path / "models.config"

    def write(*names):
        entries = "".join(f'config {{ name: "{name}" base_path: "{path}" model_platform: "tensorflow" }} '
                          for name, path in names)
        config.write_text(f"model_config_list {{ {entries} }}")

    def resident():
        pages = int(open(f"/proc/{server.process.pid}/statm").read().split()[1])
        return pages * 4096

    write(("m", models))
    server = start_server("--model_config_file", config, "--model_config_file_poll_wait_seconds", "0.05")
    digits = ("digits", export("digits"))

    def cycle():
        write(("m", models), digits)
        wait_until(lambda: requests.get(server.rest + "/v1/models/digits", timeout=60).status_code == 200)
        wait_until(lambda: '"AVAILABLE"' in requests.get(server.rest + "/v1/models/digits", timeout=60).text)
        write(("m", models))
        wait_until(lambda: '"END"' in requests.get(server.rest + "/v1/models/digits", timeout=60).text)

    for _ in range(3):
        cycle()
    settled = resident()
    for _ in range(10):
        cycle()
    assert resident() < settled + 8 * 2**20, "ten loads and unloads leave no more than noise behind"
    assert ask(server).json() == {"predictions": [2.5]}


def test_policies_and_labels_of_a_configuration_file(start_server, tmp_path, models):
    publish(models, 2, "half_plus_three")
    config = tmp_path / "models.config"
    config.write_text(f'model_config_list {{ config {{ name: "m" base_path: "{models}" model_platform: "tensorflow" '
                      'model_version_policy { specific { versions: 1 versions: 2 } } '
                      'version_labels { key: "stable" value: 1 } } }')
    server = start_server("--model_config_file", config)
    assert ask(server).json() == {"predictions": [3.5]}
    stable = requests.post(f"{server.rest}{PATH}/labels/stable:predict", json={"instances": [1.0]}, timeout=60)
    assert stable.json() == {"predictions": [2.5]}


def test_recorded_warm_up_requests_are_replayed_and_a_damaged_file_fails_the_load(start_server, models):
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0]))
    log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
    extra = models / "1" / "assets.extra"
    extra.mkdir()
    with tf.io.TFRecordWriter(str(extra / "tf_serving_warmup_requests")) as writer:
        writer.write(log.SerializeToString())
    server = start_server("--model", f"m={models}")
    assert '"event":"warmup_replayed"' in server.log()
    (extra / "tf_serving_warmup_requests").write_bytes(b"rubbish")
    failed = run(f"--model=m={models}")
    assert failed.returncode == 1 and "tf_serving_warmup_requests" in failed.stderr


def run(*arguments):
    return subprocess.run([binary(), "--port", "0", "--rest_api_port", "-1", *arguments], capture_output=True, text=True,
                          timeout=120)


@pytest.mark.parametrize(("arguments", "code", "text"), [
    ([], 2, "There is nothing to serve"),
    (["--model", "m"], 2, "NAME=DIRECTORY"),
    (["--no_such_flag"], 2, "--help"),
    (["--backend", "torch", "--model", "m=/x"], 2, "backend"),
    (["--model", "m=/nonexistent"], 1, "No such file or directory"),
    (["--model", "m=/tmp", "--tensorflow", "/nonexistent"], 1, "pip install tensorflow-cpu"),
    (["--model_config_file", "/nonexistent"], 1, "/nonexistent"),
])
def test_a_start_that_cannot_be_says_why(arguments, code, text):
    failed = run(*arguments)
    assert failed.returncode == code and text in failed.stderr, failed.stderr


def test_a_model_without_versions_fails_the_start(tmp_path):
    failed = run("--model", f"m={tmp_path}")
    assert failed.returncode == 1 and "no version to be served" in failed.stderr


def test_batching_parameters_of_a_file(start_server, tmp_path, models):
    parameters = tmp_path / "batching.txt"
    parameters.write_text("max_batch_size { value: 4 } batch_timeout_micros { value: 0 } num_batch_threads { value: 1 }")
    server = start_server("--model", f"m={models}", "--enable_batching=true", "--batching_parameters_file", parameters)
    reply = requests.post(f"{server.rest}{PATH}:predict", json={"instances": [1.0] * 5}, timeout=60)
    assert reply.status_code == 400
    assert reply.json()["error"] == "Task size 5 is larger than maximum input batch size 4"
    assert json.loads(requests.post(f"{server.rest}{PATH}:predict", json={"instances": [1.0] * 4}, timeout=60).text) == {
        "predictions": [2.5] * 4}


def test_openvino_serves_where_it_agrees(start_server):
    server = start_server("--backend", "auto", "--model", f"digits={export('digits')}", "--model", f"strings={export('strings')}")
    log = server.log()
    assert '"event":"openvino_used"' in log and '"event":"openvino_not_used"' in log
    text = requests.post(f"{server.rest}/v1/models/strings:predict", json={"instances": ["a"]}, timeout=60).json()
    assert text["predictions"][0]["upper"] == "A"


def test_the_kernels_flags_change_nothing_but_the_speed(start_server, models):
    for flags in (("--onednn", "true", "--tensorflow_intra_op_parallelism", "2", "--tensorflow_inter_op_parallelism", "2"),
                  ("--onednn", "false", "--compute_threads", "1", "--rest_api_num_threads", "1")):
        server = start_server("--model", f"m={models}", "--model", f"digits={export('digits')}", *flags)
        assert ask(server).json() == {"predictions": [2.5]}
        known = expected("digits")["serving_default"]
        reply = requests.post(server.rest + "/v1/models/digits:predict",
                              json={"instances": next(iter(known["inputs"].values()))}, timeout=60)
        np.testing.assert_allclose(reply.json()["predictions"], next(iter(known["outputs"].values())), rtol=1e-4,
                                   atol=1e-6)


def test_metrics_of_requests_and_memory_where_the_configuration_says(start_server, tmp_path, models):
    monitoring = tmp_path / "monitoring.txt"
    monitoring.write_text('prometheus_config { enable: true path: "/metrics" }')
    server = start_server("--model", f"m={models}", "--monitoring_config_file", monitoring)
    assert requests.get(server.rest + "/monitoring/prometheus/metrics", timeout=60).status_code == 404
    ask(server)
    text = requests.get(server.rest + "/metrics", timeout=60).text
    for line in (':tensorflow:serving:request_count{model_name="m",status="OK"} 1',
                 ':tensorflow:serving:request_latency_count{model_name="m"',
                 ':tensorflow:serving:runtime_latency_count{model_name="m"'):
        assert "\n" + line in text, text
    (memory,) = [line for line in text.splitlines() if line.startswith("sagebrush") and 'memory' in line and '"m"' in line]
    assert float(memory.split()[-1]) > 0


def test_all_versions_and_the_two_newest(start_server, tmp_path, models):
    for version in (2, 3):
        publish(models, version, "half_plus_three")
    for policy, served in (("all {}", {1, 2, 3}), ("latest { num_versions: 2 }", {2, 3})):
        config = tmp_path / "models.config"
        config.write_text(f'model_config_list {{ config {{ name: "m" base_path: "{models}" model_platform: "tensorflow" '
                          f'model_version_policy {{ {policy} }} }} }}')
        server = start_server("--model_config_file", config)
        assert {version for version in (1, 2, 3) if ask(server, version=version).status_code == 200} == served
