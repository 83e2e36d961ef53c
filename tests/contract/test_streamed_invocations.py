"""Large invocations pass through the engine while they come, and never whole unless they are their signer's."""

import http.client
import io
import json
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

from support.endpoints import engine_of_programs
from support.jobs import REGION
from support.waiting import wait_until

SIZE = 3 * 1024 * 1024
HALF = SIZE // 2
LOG_DEADLINE = 30
# Says what it has read of a body while it reads, and answers with the body's size. /refused is answered before a byte
# of the body is read.
SERVER = """\
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.answer(200)
    def do_POST(self):
        if self.headers["Accept"] == "text/refused":
            self.close_connection = True
            return self.answer(415, b"not this")
        mark, wanted, got = self.headers["X-Amzn-SageMaker-Custom-Attributes"], int(self.headers["Content-Length"]), 0
        while got < wanted:
            piece = self.rfile.read1(65536)
            if not piece:
                print(mark, "cut", flush=True)
                self.close_connection = True
                return
            got += len(piece)
            print(mark, "read", got, flush=True)
        self.answer(200, str(got).encode())
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""


class Uploads:
    """Signed invocations, sent in as many steps as a test likes."""

    def __init__(self, endpoints, name):
        self.endpoints, self.jobs, self.name = endpoints, endpoints.jobs, name
        self.path = f"/endpoints/{name}/invocations"

    def begin(self, mark, body, secret=None, **headers):
        """A connection on which the head is sent; it is signed for all of this body."""
        engine = self.jobs.engine
        variables = engine.environment()
        credentials = botocore.credentials.Credentials(variables["AWS_ACCESS_KEY_ID"],
                                                       secret or variables["AWS_SECRET_ACCESS_KEY"])
        fields = {"X-Amzn-SageMaker-Custom-Attributes": mark, "Content-Type": "application/octet-stream"}
        request = botocore.awsrequest.AWSRequest("POST", engine.endpoint + self.path, data=body,
                                                 headers=fields | headers)
        botocore.auth.SigV4Auth(credentials, "sagemaker", REGION).add_auth(request)
        address = urllib.parse.urlsplit(engine.endpoint)
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=LOG_DEADLINE)
        connection.putrequest("POST", self.path)
        for name, value in request.headers.items():
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders()
        return connection

    def lines(self, mark):
        """What the container has printed of that invocation."""
        lines = [line.split() for line in self.endpoints.logged(self.name)]
        return [line[1:] for line in lines if line[0] == mark]

    def wait_for(self, mark, line):
        wait_until(lambda: line in self.lines(mark), LOG_DEADLINE, f"the container to say {line} of {mark}")

    def read_of(self, mark):
        return max((int(line[1]) for line in self.lines(mark) if line[0] == "read"), default=0)


@pytest.fixture(scope="module")
def uploads():
    with engine_of_programs() as endpoints:
        yield Uploads(endpoints, endpoints.create(endpoints.program(SERVER)))


def error_of(response):
    return response.status, response.headers["x-amzn-ErrorType"], json.loads(response.read())["Message"]


def test_the_container_reads_while_the_client_still_sends(uploads):
    body = bytes(SIZE)
    connection = uploads.begin("early", body)
    connection.send(body[:HALF])
    wait_until(lambda: uploads.read_of("early") >= HALF, LOG_DEADLINE, "the container to have read the first half")
    connection.send(body[HALF:])
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, str(SIZE).encode())


@pytest.mark.parametrize("case", ["another body", "another secret"])
def test_a_body_that_nobody_signed_never_arrives_whole(uploads, case):
    mark = case.replace(" ", "-")
    body = bytes(SIZE)
    connection = uploads.begin(mark, body, secret="x" * 40 if case == "another secret" else None)
    connection.send(body[:-1] + (b"!" if case == "another body" else body[-1:]))
    status, kind, message = error_of(connection.getresponse())
    assert (status, kind) == (403, "InvalidSignatureException"), message
    uploads.wait_for(mark, ["cut"])
    assert 0 < uploads.read_of(mark) < SIZE


def test_with_a_declared_digest_nothing_of_it_arrives(uploads):
    body = bytes(SIZE)
    connection = uploads.begin("declared", body, secret="x" * 40, **{"X-Amz-Content-SHA256": "0" * 64})
    connection.send(body)
    assert error_of(connection.getresponse())[:2] == (403, "InvalidSignatureException")
    # The container's lines are in order, so whatever it printed of that one is there when a later one is.
    uploads.jobs.client("sagemaker-runtime").invoke_endpoint(EndpointName=uploads.name, Body=b"later",
                                                             CustomAttributes="later")
    uploads.wait_for("later", ["read", "5"])
    assert uploads.lines("declared") == []


def test_a_client_that_leaves_is_noticed(uploads):
    body = bytes(SIZE)
    connection = uploads.begin("gone", body)
    connection.send(body[:HALF])
    connection.close()
    uploads.wait_for("gone", ["cut"])


def test_an_answer_before_the_body_is_read_is_only_for_its_signer(uploads):
    body = bytes(SIZE)
    connection = uploads.begin("refused", body, Accept="text/refused")
    connection.send(body)
    status, kind, message = error_of(connection.getresponse())
    assert (status, kind) == (424, "ModelError") and "(415)" in message and "not this" in message
    connection = uploads.begin("stranger", body, secret="x" * 40, Accept="text/refused")
    connection.send(body)
    assert error_of(connection.getresponse())[:2] == (403, "InvalidSignatureException")


def test_boto3_streams_a_file(uploads):
    runtime = uploads.jobs.client("sagemaker-runtime")
    reply = runtime.invoke_endpoint(EndpointName=uploads.name, Body=io.BytesIO(bytes(SIZE)), CustomAttributes="file")
    assert reply["Body"].read() == str(SIZE).encode()
