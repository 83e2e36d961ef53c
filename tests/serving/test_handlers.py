"""Handlers: the user's inference.py beside a real model, as the hosted TensorFlow container runs it."""

import concurrent.futures
import importlib.util
import json
import sys
import zipfile

import pytest

from artifacts import artifact
from test_invocations import ATTRIBUTES, call, invoke

# As in the container's guide.
PAIR = """
    import json

    def input_handler(data, context):
        if context.request_content_type != "text/csv":
            raise ValueError('{{"error": "unsupported content type {}"}}'.format(context.request_content_type or "unknown"))
        return json.dumps({"instances": [float(x) for x in data.read().decode("utf-8").split(",")]})

    def output_handler(data, context):
        if data.status_code != 200:
            raise ValueError(data.content.decode("utf-8"))
        return data.content, context.accept_header
"""

# Everything by itself: over REST with the standard library, over gRPC with the channel.
ALONE = """
    import json
    import urllib.request

    def handler(data, context):
        what = data.read().decode()
        if what == "rest":
            body = json.dumps({"instances": [1.0, 2.0, 5.0]}).encode()
            with urllib.request.urlopen(urllib.request.Request(context.rest_uri, data=body)) as reply:
                return reply.read(), "application/json"
        if what == "grpc":
            from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc
            stub = model_service_pb2_grpc.ModelServiceStub(context.channel)
            request = get_model_status_pb2.GetModelStatusRequest()
            request.model_spec.name = "half"
            return str(stub.GetModelStatus(request, timeout=20).model_version_status[0].state), "text/plain"
        if what == "context":
            fields = [name for name in context._fields if name != "channel"]
            return json.dumps({name: getattr(context, name) for name in fields})
        raise KeyError(what)
"""


@pytest.fixture(scope="module")
def pair(hosting_server, tmp_path_factory):
    return hosting_server(artifact(tmp_path_factory.mktemp("pair"), half="half_plus_two", code=PAIR))


@pytest.fixture(scope="module")
def alone(hosting_server, tmp_path_factory):
    # The clients that it imports at its first call bring TensorFlow along.
    return hosting_server(artifact(tmp_path_factory.mktemp("alone"), half="half_plus_two", code=ALONE),
                          SAGEMAKER_GUNICORN_TIMEOUT_SECONDS="120")


def test_pair(pair):
    status, headers, reply = invoke(pair, "1.0,2.0,5.0", "text/csv", Accept="application/x-mine")
    assert (status, json.loads(reply)) == (200, {"predictions": [2.5, 3.0, 4.5]})
    assert headers["Content-Type"] == "application/x-mine"
    assert call(pair.url + "/ping")[0] == 200


def test_the_pairs_errors(pair):
    status, _, reply = invoke(pair, "1.0", "application/weird")
    assert status == 500
    assert json.loads(reply) == {"error": '{"error": "unsupported content type application/weird"}'}
    status, _, reply = invoke(pair, "1.0", "text/csv", attributes="tfs-model-name=absent")
    assert status == 500 and "Servable not found" in json.loads(reply)["error"]


def test_many_clients(pair):
    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        replies = list(clients.map(lambda x: invoke(pair, f"{x}.0", "text/csv"), range(40)))
    assert [json.loads(body)["predictions"] for _, _, body in replies] == [[x / 2 + 2] for x in range(40)]


def test_handler_calls_the_model(alone):
    assert json.loads(invoke(alone, "rest")[2]) == {"predictions": [2.5, 3.0, 4.5]}
    status, _, reply = invoke(alone, "grpc")
    assert (status, reply) == (200, b"30"), reply  # AVAILABLE


def test_context(alone):
    attributes = "tfs-model-version=1,tfs-method=predict,mine=x"
    fields = json.loads(invoke(alone, "context", "text/plain", attributes=attributes)[2])
    assert fields.pop("rest_uri").endswith("/v1/models/half/versions/1:predict")
    assert fields.pop("grpc_port").isdigit()
    assert fields == {"model_name": None, "model_version": "1", "method": "predict", "custom_attributes": attributes,
                      "request_content_type": "text/plain", "accept_header": "application/json", "content_length": 7}


def test_exception_is_the_reply(alone):
    status, headers, reply = invoke(alone, "unknown")
    assert (status, json.loads(reply)) == (500, {"error": "'unknown'"})
    assert "KeyError" in alone.log() and "inference.py" in alone.log()


def test_one_of_the_pair_alone_does_not_start(hosting_server, tmp_path):
    root = artifact(tmp_path, half="half_plus_two", code="def input_handler(data, context): return data\n")
    with pytest.raises(Exception, match="no output_handler"):
        hosting_server(root)


def test_requirements_that_cannot_be_had_stop_the_start(hosting_server, tmp_path):
    root = artifact(tmp_path, half="half_plus_two", code=PAIR, requirements="./no-such-folder\n")
    with pytest.raises(Exception, match="no-such-folder"):
        hosting_server(root)


def wheel(directory, name, **modules):
    """An installable package of these modules, made without a build tool."""
    path = directory / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    files = {f"{module}.py": text for module, text in modules.items()}
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return path


def test_requirements_are_installed_for_the_handlers_alone(hosting_server, tmp_path):
    root = artifact(tmp_path, half="half_plus_two", requirements="./sagebrush_test_words-1.0-py3-none-any.whl\n",
                    code="""
        import sagebrush_test_words

        def handler(data, context):
            return sagebrush_test_words.TEXT + " " + sagebrush_test_words.__file__, "text/plain"
    """)
    wheel(root / "code", "sagebrush_test_words", sagebrush_test_words="TEXT = 'installed'\n")
    text, place = invoke(hosting_server(root), "x")[2].decode().split()
    assert text == "installed"
    assert not place.startswith((sys.prefix, str(root))), "neither the environment nor the artifact is written to"
    assert importlib.util.find_spec("sagebrush_test_words") is None


def test_library_beside_the_code(hosting_server, tmp_path):
    root = artifact(tmp_path, half="half_plus_two", requirements="./no-such-folder\n",
                    code="import helper\ndef handler(data, context): return helper.TEXT, 'text/plain'\n")
    (root / "code/lib").mkdir()
    (root / "code/lib/helper.py").write_text("TEXT = 'from lib'\n")
    assert invoke(hosting_server(root), "x")[2] == b"from lib"


def test_a_handler_that_dies_or_hangs_fails_its_own_request(hosting_server, tmp_path):
    root = artifact(tmp_path, half="half_plus_two", code="""
        import os, signal

        def handler(data, context):
            what = data.read()
            if what == b"die":
                os.kill(os.getpid(), signal.SIGKILL)
            if what == b"hang":
                signal.pause()
            return str(os.getpid()), "text/plain"
    """)
    server = hosting_server(root, SAGEMAKER_GUNICORN_TIMEOUT_SECONDS="2")
    first = invoke(server, "who")[2]
    status, _, reply = invoke(server, "die")
    assert status == 500 and "signal 9" in json.loads(reply)["error"]
    second = invoke(server, "who")[2]
    assert second != first
    assert invoke(server, "hang")[0] == 504
    assert invoke(server, "who")[2] != second


def test_handlers_of_each_model(hosting_server, tmp_path):
    store = tmp_path / "store"
    artifact(store / "own", half="half_plus_two", code="def handler(data, context): return 'own', 'text/plain'\n")
    artifact(store / "plain", half="half_plus_two")
    (tmp_path / "models").mkdir()
    server = hosting_server(tmp_path / "models", SAGEMAKER_MULTI_MODEL="true")
    for name in ("own", "plain"):
        body = json.dumps({"model_name": name, "url": str(store / name)})
        status, _, reply = call(server.url + "/models", "POST", body)
        assert status == 200, reply
    headers = {"Content_Type": "application/json", ATTRIBUTES: "mine=x"}
    assert call(server.url + "/models/own/invoke", "POST", "x", **headers)[2] == b"own"
    assert json.loads(call(server.url + "/models/plain/invoke", "POST", "1.0", **headers)[2])["predictions"] == [2.5]
