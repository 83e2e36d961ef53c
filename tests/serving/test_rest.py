"""TensorFlow Serving's REST interface, called with curl and requests as its documentation does."""

import gzip
import json
import socket
import subprocess

import numpy as np
import pytest
import requests

from conftest import expected

JSON = "application/json"


def post(server, path, body, **options):
    return requests.post(server.rest + path, data=body if isinstance(body, (str, bytes)) else json.dumps(body),
                         timeout=60, **options)


def test_curl_as_in_the_documentation(model_server):
    output = subprocess.run(["curl", "-sS", "-d", '{"instances": [1.0, 2.0, 5.0]}', "-X", "POST",
                             model_server.rest + "/v1/models/half_plus_two:predict"], check=True, capture_output=True,
                            text=True).stdout
    assert output == '{\n    "predictions": [2.5, 3.0, 4.5\n    ]\n}'


def test_regress_and_classify_examples(model_server):
    reply = post(model_server, "/v1/models/half_plus_three:regress",
                 {"signature_name": "tensorflow/serving/regress", "examples": [{"x": 1.0}, {"x": 2.0}]})
    assert reply.json() == {"results": [3.5, 4.0]}
    reply = post(model_server, "/v1/models/half_plus_two:classify",
                 {"signature_name": "classify_x_to_y", "examples": [{"x": 1.0}]})
    assert reply.json() == {"results": [[["high", 2.5], ["low", -2.5]]]}


def test_a_keras_model_answers_as_python_does(model_server):
    for form in ("instances", "inputs"):
        for signature, known in expected("digits").items():
            images = next(iter(known["inputs"].values()))
            reply = post(model_server, "/v1/models/digits:predict", {"signature_name": signature, form: images})
            assert reply.status_code == 200, reply.text
            answer = reply.json()["predictions" if form == "instances" else "outputs"]
            np.testing.assert_allclose(answer, next(iter(known["outputs"].values())), rtol=1e-5, atol=1e-6)


def test_several_inputs_by_row_and_by_column(model_server):
    rows = post(model_server, "/v1/models/signatures:predict",
                {"instances": [{"a": [1, 2], "b": [10, 20]}, {"a": [3, 4], "b": [30, 40]}]}).json()
    assert rows == {"predictions": [{"sum": [11, 22], "difference": [-9, -18]}, {"sum": [33, 44], "difference": [-27, -36]}]}
    columns = post(model_server, "/v1/models/signatures:predict",
                   {"signature_name": "scale", "inputs": {"x": [[1, 2, 3]], "factor": 2.5}}).json()
    assert columns == {"outputs": [[2.5, 5.0, 7.5]]}


def test_strings_and_bytes(model_server):
    reply = post(model_server, "/v1/models/strings:predict", {"instances": ["abc", {"b64": "YWJj"}]}).json()
    assert reply["predictions"][0] == reply["predictions"][1] == {
        "upper": "ABC", "length": 3, "raw_bytes": {"b64": "YWJjAP8="}}


def test_metadata_and_status(model_server):
    metadata = requests.get(model_server.rest + "/v1/models/half_plus_two/metadata", timeout=60).json()
    assert metadata["model_spec"] == {"name": "half_plus_two", "signature_name": "", "version": "1"}
    tensor = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]["x"]
    assert tensor["dtype"] == "DT_FLOAT" and tensor["tensor_shape"]["dim"] == [{"size": "-1", "name": ""}]
    status = requests.get(model_server.rest + "/v1/models/half_plus_two", timeout=60).json()
    assert status["model_version_status"] == [
        {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}]


def test_gzip_is_undone_and_damaged_gzip_refused(model_server):
    path, body = "/v1/models/half_plus_two:predict", b'{"instances": [1.0]}'
    header = {"Content-Encoding": "gzip"}
    assert post(model_server, path, gzip.compress(body), headers=header).json() == {"predictions": [2.5]}
    damaged = post(model_server, path, gzip.compress(body)[:-6], headers=header)
    assert damaged.status_code == 400 and "error" in damaged.json()


@pytest.mark.parametrize(("path", "body", "status", "text"), [
    ("/v1/models/half_plus_two:predict", "", 400, "JSON Parse error: The document is empty"),
    ("/v1/models/half_plus_two:predict", "[1]", 400, "Is not object"),
    ("/v1/models/half_plus_two:predict", "{}", 400, "Missing 'inputs' or 'instances' key"),
    ("/v1/models/half_plus_two:predict", '{"instances": 1, "inputs": 2}', 400,
     "expecting only one of 'inputs' or 'instances' keys to exist"),
    ("/v1/models/half_plus_two:predict", '{"instances": []}', 400, "No values in 'instances' array"),
    ("/v1/models/half_plus_two:predict", '{"instances": ["x"]}', 400, "is not of expected type: float"),
    ("/v1/models/half_plus_two:predict", '{"signature_name": "no", "instances": [1]}', 400, '"no" not found in signature def'),
    ("/v1/models/half_plus_two:predict", '{"instances": [[1, 2], [3]]}', 400, "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting tensor size: 2 but got: 1"),
    ("/v1/models/half_plus_two:predict", '{"instances": ' + "[" * 100_000 + "]" * 100_000 + "}", 400, ""),
    ("/v1/models/digits:predict", '{"instances": [[1, 2]]}', 400, "Input 'keras_tensor' has the shape [1,2]; the model expects [-1,28,28,1]."),
    ("/v1/models/no:predict", '{"instances": [1]}', 404, "Servable not found for request: Latest(no)"),
    ("/v1/models/half_plus_two/versions/9:predict", '{"instances": [1]}', 404, "Specific(half_plus_two, 9)"),
    ("/v1/models/half_plus_two/versions/99999999999999999999:predict", "{}", 400, "Failed to convert version"),
    ("/v1/models/half_plus_two/labels/gold:predict", "{}", 400, "Unrecognized servable version label: gold"),
    ("/v1/models/half_plus_two:guess", "{}", 400, "Malformed request: POST /v1/models/half_plus_two:guess"),
    ("/v1/models/signatures:predict", '{"signature_name": "lookup", "instances": [99]}', 400, "is not in [0, 10)"),
    ("/v1/models/types:predict", '{"signature_name": "half", "inputs": [1]}', 501, "to type: half"),
])
def test_bad_requests_get_their_text_and_harm_nothing(model_server, path, body, status, text):
    reply = post(model_server, path, body)
    assert (reply.status_code, text in reply.json()["error"]) == (status, True), reply.text
    assert reply.headers["Content-Type"] == JSON
    assert post(model_server, "/v1/models/half_plus_two:predict", '{"instances": [1]}').json() == {"predictions": [2.5]}


def test_a_body_past_the_limit(start_server):
    from conftest import export

    server = start_server("--model", f"m={export('half_plus_two')}", "--max_body_bytes", "1000")
    reply = post(server, "/v1/models/m:predict", {"instances": [1.0] * 1000})
    assert reply.status_code == 413 and "1000" in reply.json()["error"]
    reply = post(server, "/v1/models/m:predict", gzip.compress(b"[" * 100_000), headers={"Content-Encoding": "gzip"})
    assert reply.status_code == 413


def test_a_client_that_leaves_in_the_middle_of_its_body(model_server):
    host, port = model_server.rest.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"POST /v1/models/half_plus_two:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    assert post(model_server, "/v1/models/half_plus_two:predict", '{"instances": [1]}').status_code == 200


def test_prometheus_counts_requests(model_server):
    def count():
        text = requests.get(model_server.rest + "/monitoring/prometheus/metrics", timeout=60).text
        prefix = ':tensorflow:serving:request_count{model_name="half_plus_three",status="OK"} '
        return sum(float(line.removeprefix(prefix)) for line in text.splitlines() if line.startswith(prefix))

    before = count()
    for _ in range(3):
        post(model_server, "/v1/models/half_plus_three:predict", '{"instances": [1]}')
    assert count() == before + 3
