"""The hosting contract of the TensorFlow container, with its guide's examples, on real models.

hosting_server(model_dir, **environment) starts `sagebrush-model-server serve` with SAGEMAKER_* variables; .url is that
of the port with /ping and /invocations.
"""

import io
import json
import pathlib
import urllib.error
import urllib.request

import numpy as np
import pytest

from artifacts import MODELS, artifact

ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"


def call(url, method="GET", body=None, **headers):
    """(status, headers, body) of a request; an HTTP error is an answer too."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    data = body.encode() if isinstance(body, str) else body
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, reply.headers, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def invoke(server, body, content_type="application/json", attributes=None, **headers):
    if attributes:
        headers[ATTRIBUTES] = attributes
    return call(server.url + "/invocations", "POST", body, Content_Type=content_type, **headers)


def predictions(server, body, content_type="application/json", attributes=None):
    status, _, reply = invoke(server, body, content_type, attributes)
    assert status == 200, reply
    return json.loads(reply)["predictions"]


@pytest.fixture(scope="module")
def half(hosting_server, tmp_path_factory):
    """half_plus_three is found first and the default, half_plus_two is beside it, deeper."""
    root = artifact(tmp_path_factory.mktemp("half"), a_three="half_plus_three")
    artifact(root / "export", two="half_plus_two")
    return hosting_server(root)


def test_ping_and_other_paths(half):
    assert call(half.url + "/ping")[0] == 200
    status, _, body = call(half.url + "/v1/models/two")
    assert (status, json.loads(body)) == (404, {"error": "Not Found"})
    parameters = json.loads(call(half.url + "/execution-parameters")[2])
    assert parameters["BatchStrategy"] == "MULTI_RECORD" and parameters["MaxConcurrentTransforms"] >= 1


@pytest.mark.parametrize("body, content_type", [
    ('{"instances": [1.0, 2.0, 5.0]}', "application/json"),
    ("1.0\n2.0\n5.0\n", "text/csv"),
    ("1.0\r\n2.0\r\n5.0", "text/csv; charset=utf-8"),
    ("x\n1.0\n2.0\n5.0\n", "text/csv; header=present"),
    ('{"x": 1.0}\n{"x": 2.0}\n{"x": 5.0}\n', "application/jsonlines"),
    ('{"x": 1.0}{"x": 2.0} {"x": 5.0}', "application/jsons"),
])
def test_three_rows(half, body, content_type):
    assert predictions(half, body, content_type) == [3.5, 4.0, 5.5]


def test_column_form(half):
    status, _, body = invoke(half, '{"inputs": [1.0, 2.0, 5.0]}')
    assert (status, json.loads(body)) == (200, {"outputs": [3.5, 4.0, 5.5]})


def test_custom_attributes(half):
    body = '{"instances": [1.0, 2.0, 5.0]}'
    assert predictions(half, body, attributes="tfs-model-name=two") == [2.5, 3.0, 4.5]
    assert predictions(half, body, attributes="tfs-model-name=two,tfs-model-version=1,mine=x") == [2.5, 3.0, 4.5]
    assert invoke(half, body, attributes="tfs-model-name=four")[0] == 404
    examples = json.dumps({"signature_name": "tensorflow/serving/regress", "examples": [{"x": 1.0}, {"x": 2.0}]})
    status, _, reply = invoke(half, examples, attributes="tfs-method=regress")
    assert (status, json.loads(reply)) == (200, {"results": [3.5, 4.0]})


def test_numpy_arrays_both_ways(half):
    file = io.BytesIO()
    np.save(file, np.array([1.0, 2.0, 5.0]))  # float64: what NumPy makes unless told otherwise
    status, headers, reply = invoke(half, file.getvalue(), "application/x-npy", Accept="application/x-npy")
    assert (status, headers["Content-Type"]) == (200, "application/x-npy")
    y = np.load(io.BytesIO(reply))
    assert y.dtype == np.float32 and y.tolist() == [3.5, 4.0, 5.5]
    assert predictions(half, file.getvalue(), "application/x-npy") == [3.5, 4.0, 5.5]
    for array in (np.asfortranarray(np.ones((2, 3), ">f4")), np.array(7, "<i8")):
        file = io.BytesIO()
        np.save(file, array)
        # A scalar or a matrix is no list of rows for this model: refused in words, never a crash.
        status, _, reply = invoke(half, file.getvalue(), "application/x-npy")
        assert status in (200, 400) and (status == 200 or json.loads(reply)["error"])


def test_accept(half):
    status, headers, reply = invoke(half, "1.0", Accept="application/jsonlines")
    assert status == 200 and json.loads(reply) == {"predictions": [3.5]}
    assert headers["Content-Type"] == "application/jsonlines" and b"\n" not in reply


def test_refusals(half):
    status, _, reply = invoke(half, "<x/>", "text/xml")
    assert (status, json.loads(reply)) == (415, {"error": "Unsupported Media Type: text/xml"})
    assert invoke(half, "[1, 2", "application/json")[0] == 400
    status, _, reply = invoke(half, "1\nmany\n", "text/csv")
    assert status == 400 and "row 2, column 1" in json.loads(reply)["error"]


def test_digits_in_every_form(hosting_server, tmp_path):
    server = hosting_server(artifact(tmp_path, digits="digits"))
    known = json.loads((MODELS / "digits/1/expected.json").read_text())["serving_default"]
    images = np.array(known["inputs"]["keras_tensor"], "float32")
    expected = np.array(next(iter(known["outputs"].values())))
    file = io.BytesIO()
    np.save(file, images)
    rows = "\n".join(",".join(map(repr, map(float, image.ravel()))) for image in images)
    lines = "\n".join(json.dumps(image.tolist()) for image in images)
    for body, content_type in ((json.dumps(images.tolist()), "application/json"), (rows, "text/csv"),
                               (lines, "application/jsonlines"), (file.getvalue(), "application/x-npy")):
        np.testing.assert_allclose(predictions(server, body, content_type), expected, rtol=1e-5, atol=1e-6)


def test_quoted_text_and_a_default_model_of_several(hosting_server, tmp_path):
    root = artifact(tmp_path, half="half_plus_two", words="strings")
    server = hosting_server(root, SAGEMAKER_TFS_DEFAULT_MODEL_NAME="words", SAGEMAKER_TFS_NGINX_LOGLEVEL="info",
                            SAGEMAKER_NGINX_PROXY_READ_TIMEOUT_SECONDS="90")
    answers = predictions(server, '"a, ""quoted"" word"\nplain\n', "text/csv")
    assert [answer["upper"] for answer in answers] == ['A, "QUOTED" WORD', "PLAIN"]
    assert predictions(server, '"bare"')[0]["upper"] == "BARE"
    assert predictions(server, "1.0", attributes="tfs-model-name=half") == [2.5]
    classified = json.dumps({"signature_name": "classify_x_to_y", "examples": [{"x": 1.0}]})
    status, _, reply = invoke(server, classified, attributes="tfs-model-name=half,tfs-method=classify")
    assert (status, json.loads(reply)) == (200, {"results": [[["high", 2.5], ["low", -2.5]]]})


def test_no_python_runs_without_handlers(hosting_server, tmp_path):
    server = hosting_server(artifact(tmp_path, half="half_plus_two"), PATH="/nonexistent", VIRTUAL_ENV="")
    assert predictions(server, "1.0") == [2.5]
    children = pathlib.Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    assert children.read_text() == ""


def test_batching_by_environment(hosting_server, tmp_path):
    server = hosting_server(artifact(tmp_path, half="half_plus_two"), SAGEMAKER_TFS_ENABLE_BATCHING="true",
                            SAGEMAKER_TFS_MAX_BATCH_SIZE="4")
    assert predictions(server, "1.0") == [2.5]


def test_a_model_larger_than_the_memory_is_answered_with_507(hosting_server, tmp_path):
    store = artifact(tmp_path / "store", large="half_plus_two", two="half_plus_two")
    with open(store / "large/1/variables/variables.data-00000-of-00001", "r+b") as data:
        data.truncate(8 << 40)  # a hole
    (tmp_path / "models").mkdir()
    server = hosting_server(tmp_path / "models", SAGEMAKER_MULTI_MODEL="true")
    load = {name: json.dumps({"model_name": name, "url": str(store / name)}) for name in ("large", "two")}
    assert call(server.url + "/models", "POST", load["two"])[0] == 200
    status, _, reply = call(server.url + "/models", "POST", load["large"])
    assert status == 507 and "MiB" in json.loads(reply)["error"]
    assert set(json.loads(call(server.url + "/models")[2])) == {"two"}
    reply = call(server.url + "/models/two/invoke", "POST", "1.0", Content_Type="application/json")[2]
    assert json.loads(reply) == {"predictions": [2.5]}


def test_multi_model(hosting_server, tmp_path):
    store = artifact(tmp_path / "store", two="half_plus_two", three="half_plus_three")
    (tmp_path / "models").mkdir()
    server = hosting_server(tmp_path / "models", SAGEMAKER_MULTI_MODEL="true")
    models = server.url + "/models"
    assert call(server.url + "/ping")[0] == 200
    for name in ("two", "three"):
        body = json.dumps({"model_name": name, "url": str(store / name)})
        assert call(models, "POST", body)[0] == 200
        assert call(models, "POST", body)[0] == 409
    assert call(models, "POST", json.dumps({"model_name": "no", "url": str(tmp_path / "no")}))[0] == 404
    assert set(json.loads(call(models)[2])) == {"two", "three"}
    status, _, reply = call(models + "/three/invoke", "POST", '{"instances": [1.0]}', Content_Type="application/json")
    assert (status, json.loads(reply)) == (200, {"predictions": [3.5]})
    assert call(models + "/three", "DELETE")[0] == 200
    assert call(models + "/three", "DELETE")[0] == 404
    assert call(models + "/three/invoke", "POST", "[1]", Content_Type="application/json")[0] == 404
    assert call(models + "/two")[0] == 200
