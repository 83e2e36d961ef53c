"""Runs the functions of a user's inference.py for sagebrush-model-server: one process, one request at a time.

The server starts this with the script's path as the only argument and a connected Unix socket as descriptor 3. A
message, either way, is a prefix (bytes of the head, 1 if the body is in a descriptor, bytes of the body), the head as
JSON, then the body; one of 64 KiB or more is in an anonymous file whose descriptor comes with the prefix. The first
message goes to the server: what the script defines, or why it cannot be used. Standard library only; Python 3.8 on.
"""

import array
import collections
import ctypes
import importlib.util
import io
import json
import os
import signal
import socket
import struct
import sys
import traceback

PREFIX = struct.Struct("<IIQ")
SHARED_FROM = 64 * 1024


class Gone(Exception):
    """The server has closed the socket."""


class Connection:
    def __init__(self, descriptor):
        self.socket = socket.socket(fileno=descriptor)
        self.socket.setblocking(True)
        os.set_inheritable(descriptor, False)

    def read(self, size):
        pieces = []
        while size > 0:
            piece = self.socket.recv(min(size, 1 << 20))
            if not piece:
                raise Gone
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def receive(self):
        """The head, and the body as a readable binary file."""
        descriptors = array.array("i")
        prefix, ancillary, _, _ = self.socket.recvmsg(PREFIX.size, socket.CMSG_SPACE(descriptors.itemsize))
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(data[:len(data) - len(data) % descriptors.itemsize])
        if not prefix:
            raise Gone
        prefix += self.read(PREFIX.size - len(prefix))
        head_bytes, shared, body_bytes = PREFIX.unpack(prefix)
        head = json.loads(self.read(head_bytes))
        if shared:
            return head, os.fdopen(descriptors[0], "rb")
        return head, io.BytesIO(self.read(body_bytes))

    def send(self, head, body=b""):
        text = json.dumps(head, ensure_ascii=False).encode("utf-8", "replace")
        shared = len(body) >= SHARED_FROM
        prefix = PREFIX.pack(len(text), int(shared), len(body))
        if not shared:
            self.socket.sendall(prefix + text + body)
            return
        descriptor = os.memfd_create("reply", os.MFD_CLOEXEC)
        try:
            with open(descriptor, "wb", closefd=False) as file:
                file.write(body)
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))
            sent = self.socket.sendmsg([prefix], [rights])
            self.socket.sendall(prefix[sent:] + text)
        finally:
            os.close(descriptor)


ContextFields = collections.namedtuple(
    "Context", "model_name, model_version, method, rest_uri, grpc_port, channel, custom_attributes, "
    "request_content_type, accept_header, content_length")


class LazyChannel:
    """Stands for the channel in the tuple until somebody uses it."""

    channels = {}

    def __init__(self, port):
        self._port = port

    def open(self):
        if self._port not in self.channels:
            import grpc
            self.channels[self._port] = grpc.insecure_channel("localhost:" + self._port)
        return self.channels[self._port]

    def __getattr__(self, name):
        return getattr(self.open(), name)


class Context(ContextFields):
    __slots__ = ()

    @property
    def channel(self):
        return self[5].open()


class HTTPError(IOError):
    def __init__(self, message, response):
        super().__init__(message)
        self.response = response


class CaseInsensitiveHeaders(dict):
    def __init__(self, fields):
        super().__init__(fields)
        self._names = {name.lower(): name for name in fields}

    def __getitem__(self, name):
        return super().__getitem__(self._names[name.lower()])

    def __contains__(self, name):
        return name.lower() in self._names

    def get(self, name, default=None):
        return self[name] if name in self else default


class Response:
    """What requests.post(context.rest_uri, …) would have returned."""

    reasons = {200: "OK", 400: "Bad Request", 404: "Not Found", 500: "Internal Server Error",
               503: "Service Unavailable", 504: "Gateway Timeout"}

    def __init__(self, status_code, headers, content, url):
        self.status_code = status_code
        self.headers = CaseInsensitiveHeaders(headers)
        self.content = content
        self.url = url
        self.encoding = self.apparent_encoding = "utf-8"
        self.reason = self.reasons.get(status_code, "Error")
        self.raw = io.BytesIO(content)
        self.history = []
        self.is_redirect = False

    @property
    def ok(self):
        return self.status_code < 400

    @property
    def text(self):
        return self.content.decode(self.encoding, "replace")

    def json(self, **arguments):
        return json.loads(self.content.decode("utf-8"), **arguments)

    def raise_for_status(self):
        if not self.ok:
            side = "Client" if self.status_code < 500 else "Server"
            raise HTTPError("{} {} Error: {} for url: {}".format(self.status_code, side, self.reason, self.url), self)

    def iter_content(self, chunk_size=1, decode_unicode=False):
        text = self.text if decode_unicode else self.content
        size = chunk_size or len(text) or 1
        return (text[at:at + size] for at in range(0, len(text), size))

    def iter_lines(self, **_):
        return iter(self.content.splitlines())

    def close(self):
        self.raw.close()

    def __bool__(self):
        return self.ok

    def __iter__(self):
        return self.iter_content(128)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __repr__(self):
        return "<Response [{}]>".format(self.status_code)


def to_bytes(value, function):
    """A body that a handler returned, as bytes."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8")
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if value is None:
        return b""
    if hasattr(value, "read"):
        return to_bytes(value.read(), function)
    if hasattr(value, "__next__"):
        return b"".join(to_bytes(piece, function) for piece in value)
    raise TypeError("{} returned a body of type {}: return str, bytes or a readable file".format(
        function, type(value).__name__))


def load(script):
    """The script's functions by name."""
    spec = importlib.util.spec_from_file_location("inference", script)
    module = importlib.util.module_from_spec(spec)
    sys.modules["inference"] = module
    spec.loader.exec_module(module)
    names = ("handler", "input_handler", "output_handler")
    functions = {name: getattr(module, name) for name in names if hasattr(module, name)}
    if "handler" in functions:
        return {"handler": functions["handler"]}
    if len(functions) == 2:
        return functions
    if not functions:
        raise NotImplementedError(
            "{} defines neither handler(data, context) nor input_handler(data, context) and "
            "output_handler(response, context)".format(script))
    there = next(iter(functions))
    missing = "output_handler" if there == "input_handler" else "input_handler"
    raise NotImplementedError("{} defines {} and no {}: define both, or handler(data, context)".format(
        script, there, missing))


def call(functions, head, data):
    """What the function returned: the reply's head and body."""
    name = head["call"]
    fields = dict(head["context"])
    context = Context(channel=LazyChannel(fields["grpc_port"]), **fields)
    if name == "input_handler":
        return {}, to_bytes(functions[name](data, context), name)
    if name == "output_handler":
        data = Response(head["response"]["status"], head["response"]["headers"], data.read(), context.rest_uri)
    result = functions[name](data, context)
    content_type = None
    if isinstance(result, (tuple, list)):
        if len(result) != 2:
            raise TypeError("{} returned {} values: return (body, content type)".format(name, len(result)))
        result, content_type = result
    return {"content_type": str(content_type or context.accept_header)}, to_bytes(result, name)


def report(what):
    """The traceback to the log, from the user's own code on."""
    kind, error, trace = sys.exc_info()
    while trace is not None and trace.tb_frame.f_globals.get("__name__") == "__main__":
        trace = trace.tb_next
    sys.stderr.write(what + "\n" + "".join(traceback.format_exception(kind, error, trace)))
    sys.stderr.flush()


def serve(connection, functions):
    while True:
        head, data = connection.receive()
        try:
            with data:
                reply, body = call(functions, head, data)
        except Exception as error:  # the request's failure, not the process's
            report("exception handling request:")
            reply, body = {"error": str(error) or type(error).__name__}, b""
        connection.send(reply, body)


def main():
    parent = int(sys.argv[2])
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: never outlives the server
    if os.getppid() != parent:
        return
    connection = Connection(3)
    try:
        functions = load(sys.argv[1])
    except BaseException as error:
        report("exception importing " + sys.argv[1] + ":")
        connection.send({"error": "{}: {}".format(type(error).__name__, error)})
        sys.exit(1)
    try:
        connection.send({"functions": sorted(functions)})
        serve(connection, functions)
    except (Gone, ConnectionError):
        pass


if __name__ == "__main__":
    main()
