"""SIGTERM while everything is under way: the engine ends by itself, soon, whatever its work waits for; instances go on."""

import contextlib
import os
import pathlib
import signal
import socket
import ssl
import stat
import threading
import time

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from support.endpoints import PROGRAM, PROGRAM_IMAGES, Endpoints
from support.engine import Engine, build_directory
from support.jobs import LOG_GROUP, Jobs
from support.waiting import wait_until

# Requests under way get 3 s to end; the rest is for a machine that is busy with other tests.
STOP_SECONDS = 15
PRINTING = "n = 0\nwhile True:\n    print('line', n, 'x' * 100)\n    n += 1\n"
PINGED_ONCE = PROGRAM.replace("    def do_GET(self): ", """\
    def do_GET(self):
        if os.path.exists("/tmp/pinged"): time.sleep(1000)
        open("/tmp/pinged", "w").close()
        """)


def stop(engine):
    began = time.monotonic()
    engine.process.send_signal(signal.SIGTERM)
    code = engine.process.wait(60)
    assert code == 0, engine.log_tail()
    assert time.monotonic() - began < STOP_SECONDS, engine.log_tail()


@contextlib.contextmanager
def in_background(count, action):
    """So many threads that repeat the action until the engine is gone."""
    over = threading.Event()

    def run():
        while not over.is_set():
            try:
                action()
            except (BotoCoreError, ClientError):
                return

    threads = [threading.Thread(target=run, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), "a client still waits for an engine that is gone"


class Wires:
    """Connections to the engine by hand."""

    def __init__(self, engine):
        host, port = engine.endpoint.split("//")[1].split(":")
        self.address, self.open = (host, int(port)), []

    def send(self, data, answer=b""):
        """A connection on which the data was sent and an answer has begun as it should."""
        wire = socket.create_connection(self.address)
        wire.settimeout(30)
        self.open.append(wire)
        wire.sendall(data)
        assert wire.recv(4096).startswith(answer) if answer else True
        return wire

    def listener(self):
        peer = socket.create_server(("127.0.0.1", 0))
        self.open.append(peer)
        return peer, f"127.0.0.1:{peer.getsockname()[1]}"

    def close(self):
        for wire in self.open:
            wire.close()


@pytest.fixture
def wires(new_engine):
    jobs = new_engine()
    wires = Wires(jobs.engine)
    wires.jobs = jobs
    yield wires
    wires.close()


def test_jobs_that_print_faster_than_their_lines_are_stored(new_engine):
    jobs = new_engine()
    names = [jobs.submit(PRINTING) for _ in range(3)]
    streams = wait_until(lambda: [stream for name in names for stream in jobs.streams(name)], 60, "first lines")
    with in_background(3, lambda: jobs.logs.get_log_events(logGroupName=LOG_GROUP, logStreamName=streams[0])):
        wait_until(lambda: jobs.lines(names[0]), 30, "lines to follow")
        stop(jobs.engine)
    jobs.engine.start()
    for name in names:
        jobs.sagemaker.stop_training_job(TrainingJobName=name)
        assert jobs.wait(name, 120)["TrainingJobStatus"] == "Stopped"


def test_invocations_and_pings_without_an_answer(new_engine):
    jobs = new_engine()
    jobs.engine.stop()
    (jobs.engine.data_dir / "images.toml").write_text(PROGRAM_IMAGES)
    jobs.engine.start()
    endpoints = Endpoints(jobs)
    slow = endpoints.create(endpoints.program(SECONDS="1000"))
    endpoints.create(endpoints.program(PINGED_ONCE))
    endpoints.start(endpoints.config(endpoints.program(LISTEN="no")))
    with in_background(4, lambda: endpoints.invoke(slow, b"abc", "text/plain")):
        wait_until(lambda: endpoints.logged(slow).count("asked") >= 4, 60, "the invocations to be under way")
        stop(jobs.engine)
    jobs.engine.start()
    endpoints.clean_up()


def test_transfers_that_do_not_move(wires):
    jobs = wires.jobs
    jobs.put("large", bytes(64 << 20))

    def head(method, key, fields=""):
        url = jobs.s3.generate_presigned_url(f"{method.lower()}_object", Params={"Bucket": jobs.bucket, "Key": key})
        path = "/" + url.split("/", 3)[3]
        return f"{method} {path} HTTP/1.1\r\nHost: {wires.address[0]}:{wires.address[1]}\r\n{fields}\r\n".encode()

    wires.send(head("GET", "large"), b"HTTP/1.1 200")
    wires.send(head("PUT", "half", "Content-Length: 1000000\r\nExpect: 100-continue\r\n"), b"HTTP/1.1 100")
    wires.send(head("PUT", "quarter", "Content-Length: 1000000\r\n") + bytes(250_000))
    wires.send(b"GET / HTTP/1.1\r\nHo")
    wires.send(b"\x16\x03\x01")  # the beginning of a TLS handshake
    context = ssl.create_default_context(cafile=jobs.engine.data_dir / "ca/bundle.pem")
    context.check_hostname = False
    wires.open.append(context.wrap_socket(wires.send(b"")))
    stop(jobs.engine)


def test_tunnels_and_requests_passed_on(wires):
    peer, address = wires.listener()
    for _ in range(3):
        wires.send(f"CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode(), b"HTTP/1.1 200").sendall(b"hello")
    wires.send(f"GET http://{address}/ HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
    for _ in range(4):
        wires.open.append(peer.accept()[0])
    wires.send(b"CONNECT s3.us-west-2.amazonaws.com:443 HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 200")
    stop(wires.jobs.engine)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives the engine a resolv.conf of its own")
def test_a_name_server_that_does_not_answer(tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        address = f"127.53.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"  # that no other test has
        silent.bind((address, 53))
        silent.settimeout(30)
        (tmp_path / "resolv.conf").write_text(f"nameserver {address}\noptions timeout:30 attempts:5\n")
        program = tmp_path / "sagebrush"
        program.write_text(f"#!/bin/sh\nexec unshare --mount sh -c 'mount --bind {tmp_path}/resolv.conf /etc/resolv.conf"
                           f" && exec \"$0\" \"$@\"' {build_directory()}/sagebrush \"$@\"\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        engine = Engine()
        engine.binary = program
        try:
            engine.start()
            wires = Wires(engine)
            for name in ("one", "two", "three"):
                wires.send(f"CONNECT {name}.example:443 HTTP/1.1\r\nHost: {name}.example\r\n\r\n".encode())
            for _ in range(3):
                silent.recv(4096)
            stop(engine)
            wires.close()
        finally:
            engine.destroy()


def test_an_environment_that_another_engine_makes(tmp_path, monkeypatch):
    """Two engines share a cache: one installs an environment, the other waits for it."""
    monkeypatch.setenv("SAGEBRUSH_IMAGES_CACHE", str(tmp_path / "images"))
    begun = tmp_path / "begun"
    uv = tmp_path / "uv"
    uv.write_text(f"#!/bin/sh\ntouch {begun}\nexec sleep 1000\n")
    uv.chmod(0o755)
    first, second = Engine(), Engine()
    try:
        names = []
        for engine in (first, second):
            engine.start(SAGEBRUSH_UV=str(uv))
            jobs = Jobs(engine)
            names.append((jobs, jobs.submit()))
            wait_until(begun.exists, 60, "the installation")
        jobs, name = names[1]
        wait_until(lambda: holds_open(second, tmp_path / "images"), 60, "the second engine to wait for the first")
        stop(second)
        stop(first)
        for engine, (jobs, name) in zip((first, second), names, strict=True):
            engine.start(SAGEBRUSH_UV=str(uv))
            assert jobs.describe(name)["TrainingJobStatus"] == "InProgress"
    finally:
        first.destroy()
        second.destroy()


def holds_open(engine, directory):
    """Whether the engine has the lock of an environment open."""
    for link in pathlib.Path(f"/proc/{engine.process.pid}/fd").iterdir():
        try:
            target = os.readlink(link)
        except OSError:
            continue  # closed since
        if target.startswith(str(directory)) and target.endswith(".lock"):
            return True
    return False
