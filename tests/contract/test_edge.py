"""The one port, misused: garbage gets a clear 4xx (or a closed connection), and the engine goes on."""

import datetime
import http.client
import json
import socket
import urllib.parse

import botocore.auth
import botocore.compat
import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from support.jobs import REGION


def address(engine):
    parts = urllib.parse.urlsplit(engine.endpoint)
    return parts.hostname, parts.port


def raw(engine, data):
    """Sends bytes; the status of the reply, or None when the connection is closed without one."""
    with socket.create_connection(address(engine), timeout=30) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        reply = b""
        try:
            while chunk := connection.recv(65536):
                reply += chunk
        except ConnectionResetError:
            pass
    return int(reply.split(b" ", 2)[1]) if reply.startswith(b"HTTP/") else None


def signed(engine, service, body, headers, method="POST", path="/"):
    """A request with a true signature and whatever body and headers: (status, headers, text)."""
    variables = engine.environment()
    request = AWSRequest(method, engine.endpoint + path, data=body, headers=headers)
    keys = Credentials(variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"])
    if service == "s3":
        S3SigV4Auth(keys, service, REGION).add_auth(request)
    else:
        SigV4Auth(keys, service, REGION).add_auth(request)
    connection = http.client.HTTPConnection(*address(engine), timeout=30)
    connection.request(method, path, body=body, headers=dict(request.headers))
    reply = connection.getresponse()
    return reply.status, dict(reply.getheaders()), reply.read().decode(errors="replace")


@pytest.mark.parametrize("data", [
    b"\x00\x01\x02\x03\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nno colon here\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(20_000)) + b"\r\n",
    b"CONNECT nonsense HTTP/1.1\r\n\r\n", b"GET /%zz%00%ff HTTP/1.1\r\nHost: x\r\n\r\n",
], ids=["control", "short", "version", "tls", "length", "colon", "chunk", "path", "headers", "connect", "percent"])
def test_garbage_http_is_refused(engine, data):
    status = raw(engine, data)
    if data.startswith(b"\x16"):  # TLS: what comes back is an alert, or nothing, never an HTTP reply
        assert status is None
    else:
        assert status is not None and (400 <= status < 500 or status == 505), status
    assert engine.alive()


def test_an_unsigned_request_is_refused(engine):
    assert raw(engine, b"GET /some-bucket HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") == 403
    assert raw(engine, b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Amz-Target: SageMaker.ListTrainingJobs\r\n"
                       b"Content-Type: application/x-amz-json-1.1\r\nContent-Length: 2\r\n\r\n{}") in (400, 403)


@pytest.mark.parametrize("service, call", [
    ("sagemaker", lambda client: client.list_training_jobs()), ("s3", lambda client: client.list_buckets()),
    ("logs", lambda client: client.describe_log_groups()), ("sts", lambda client: client.get_caller_identity()),
    ("iam", lambda client: client.get_role(RoleName="x"))])
def test_wrong_keys_and_secrets_are_refused_by_every_service(jobs, service, call):
    wrong_secret = jobs.client(service, aws_secret_access_key="wrong")
    with pytest.raises(ClientError) as failure:
        call(wrong_secret)
    response = failure.value.response
    assert response["Error"]["Code"] in ("SignatureDoesNotMatch", "InvalidSignatureException")
    assert 400 <= response["ResponseMetadata"]["HTTPStatusCode"] < 500
    unknown_key = jobs.client(service, aws_access_key_id="AKIAUNKNOWNUNKNOWN00")
    with pytest.raises(ClientError) as failure:
        call(unknown_key)
    assert failure.value.response["Error"]["Code"] in (
        "InvalidAccessKeyId", "UnrecognizedClientException", "InvalidClientTokenId")


def test_an_old_signature_is_refused(engine, monkeypatch):
    old = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=2)
    for module in (botocore.auth, botocore.compat):
        if hasattr(module, "get_current_datetime"):
            monkeypatch.setattr(module, "get_current_datetime", lambda *_, **__: old.replace(tzinfo=None))
    status, _, text = signed(engine, "sagemaker", b"{}", json_headers("ListTrainingJobs"))
    assert status in (400, 403) and ("expired" in text.lower() or "Skew" in text), text


def json_headers(operation):
    return {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"SageMaker.{operation}"}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"nonsense", b'{"TrainingJobName": 5}', b"{\"a\": \"\xff\xfe\"}",
                                  b"[" * 100_000, b'{"TrainingJobName": {"deep": []}}'])
def test_garbage_json_is_a_400_of_the_protocols_form(engine, body):
    status, headers, text = signed(engine, "sagemaker", body, json_headers("DescribeTrainingJob"))
    assert status == 400, text
    assert {key.lower() for key in headers} >= {"x-amzn-requestid"}
    reply = json.loads(text)
    assert reply["__type"] and reply.get("message") or reply.get("Message")


def test_an_unknown_operation_is_named(engine):
    status, _, text = signed(engine, "sagemaker", b"{}", json_headers("InventedOperation"))
    assert status == 400 and "UnknownOperationException" in text


def test_an_operation_of_the_model_that_is_not_offered_says_so(jobs):
    with pytest.raises(ClientError) as failure:
        jobs.sagemaker.list_notebook_instances()
    response = failure.value.response
    assert 400 <= response["ResponseMetadata"]["HTTPStatusCode"] < 502 and response["Error"]["Message"]


@pytest.mark.parametrize("body", [b"", b"<", b"<Delete>", b"<Other/>", b"\xff\xfe"])
def test_garbage_xml_is_a_400(jobs, body):
    status, _, text = signed(jobs.engine, "s3", body, {"Content-Type": "application/xml"}, path=f"/{jobs.bucket}?delete=")
    assert status == 400, text
    assert "<Code>" in text


def test_an_xml_entity_is_never_looked_up(jobs):
    body = b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><Delete><Object><Key>&b;</Key></Object></Delete>"
    status, _, text = signed(jobs.engine, "s3", body, {"Content-Type": "application/xml"}, path=f"/{jobs.bucket}?delete=")
    assert status == 400 and "MalformedXML" in text and "root:" not in text


def test_a_broken_query_action_is_refused(engine):
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    status, _, text = signed(engine, "sts", b"Action=Invented&Version=2011-06-15", headers)
    assert status == 400 and "<Error>" in text and "InvalidAction" in text


def test_a_body_that_breaks_off_stores_nothing(jobs):
    """The content's length says more than comes."""
    variables = jobs.engine.environment()
    request = AWSRequest("PUT", f"{jobs.engine.endpoint}/{jobs.bucket}/broken-off", data=b"x" * 1000)
    S3SigV4Auth(Credentials(variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"]), "s3", REGION).add_auth(request)
    head = f"PUT /{jobs.bucket}/broken-off HTTP/1.1\r\nHost: {urllib.parse.urlsplit(jobs.engine.endpoint).netloc}\r\n"
    head += "".join(f"{key}: {value}\r\n" for key, value in request.headers.items()) + "Content-Length: 1000\r\n\r\n"
    status = raw(jobs.engine, head.encode() + b"x" * 10)
    assert status is None or 400 <= status < 500
    with pytest.raises(ClientError):
        jobs.s3.head_object(Bucket=jobs.bucket, Key="broken-off")


def test_connections_are_kept_and_expectations_answered(engine):
    """Three requests on one connection; the body is sent only after 100 Continue, which comes at once."""
    connection = http.client.HTTPConnection(*address(engine), timeout=30)
    for _ in range(3):
        connection.request("GET", "/")
        reply = connection.getresponse()
        reply.read()
        assert reply.status == 403 and not reply.will_close
    with socket.create_connection(address(engine), timeout=30) as plain:
        plain.sendall(b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        first = plain.recv(65536)
    assert first.startswith(b"HTTP/1.1 100") or first.startswith(b"HTTP/1.1 403")


def test_a_slow_client_does_not_hold_up_others(jobs):
    """Half a request stays open while others are served."""
    with socket.create_connection(address(jobs.engine), timeout=30) as slow:
        slow.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Le")
        assert jobs.sagemaker.list_training_jobs(MaxResults=1)["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_connect_tunnels_other_hosts_untouched(engine):
    """The proxy passes bytes to a host that is none of AWS's."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(address(engine), timeout=30) as client:
            client.sendall(f"CONNECT localhost:{port} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
            server.settimeout(30)
            peer, _ = server.accept()
            reply = client.recv(65536)
            assert b" 200" in reply.split(b"\r\n", 1)[0]
            client.sendall(b"ping")
            assert peer.recv(100) == b"ping"
            peer.sendall(b"pong")
            assert client.recv(100) == b"pong"
            peer.close()
