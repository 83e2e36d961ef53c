#!/usr/bin/env python3
"""/usr/sbin/sshd of instances: what the SageMaker SDK's MPI driver (version 3) starts as `sshd -D` on every host, to
see by paramiko whether the hosts reach each other. paramiko is in the environment of every job that has that driver.

Who may log in: whoever holds the job's key, which this program writes into ~/.ssh; that is, the programs of the job's own
hosts, for it is derived from the job's credentials. All hosts have the same one, as in the hosted images, and it is the
hosts' key, too. Commands run as the program would run them. The command `ssh` does not come here (agent/ssh_command.h).
"""

import hashlib
import hmac
import os
import pathlib
import socket
import subprocess
import sys
import threading

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PORT = 22
LOGIN_SECONDS = 60


def write_job_key(directory):
    """~/.ssh/id_ed25519, where clients look for keys. The same on every host of the job; a key that is there stays."""
    secret = os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not secret:
        sys.exit("sshd: AWS_SECRET_ACCESS_KEY is not set, from which the key of the job's hosts is made")
    seed = hmac.digest(secret.encode(), b"sagebrush: key of a job's hosts", hashlib.sha256)
    key = Ed25519PrivateKey.from_private_bytes(seed)
    file = directory / "id_ed25519"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not file.exists():
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH,
                                    serialization.NoEncryption())
        whole = directory / f"id_ed25519.{os.getpid()}"
        with open(os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(private)
        whole.rename(file)
    return paramiko.Ed25519Key.from_private_key_file(str(file))


def pump(read, write, done):
    """Passes bytes on until there are none."""
    try:
        while data := read(32768):
            write(data)
    except OSError:
        pass  # one side has gone, which ends the command
    finally:
        done()


def run(channel, command):
    """A command's streams and exit code; it ends when the caller goes away."""
    child = subprocess.Popen(["/bin/sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, start_new_session=True)

    def close_input():
        child.stdin.close()
        if channel.closed:
            child.terminate()

    threading.Thread(target=pump, args=(channel.recv, lambda data: (child.stdin.write(data), child.stdin.flush()),
                                        close_input), daemon=True).start()
    errors = threading.Thread(target=pump, args=(child.stderr.read1, channel.sendall_stderr, child.stderr.close))
    errors.start()
    pump(child.stdout.read1, channel.sendall, child.stdout.close)
    errors.join()
    channel.send_exit_status(child.wait() if child.returncode is None or child.returncode >= 0 else 255)
    channel.close()


class Host(paramiko.ServerInterface):
    """One caller's connection."""

    def __init__(self, key):
        self.key = key

    def get_allowed_auths(self, username):
        return "publickey"

    def check_auth_publickey(self, username, key):
        return paramiko.AUTH_SUCCESSFUL if key.asbytes() == self.key.asbytes() else paramiko.AUTH_FAILED

    def check_channel_request(self, kind, chanid):
        if kind == "session":
            return paramiko.OPEN_SUCCEEDED
        return paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED

    def check_channel_exec_request(self, channel, command):
        threading.Thread(target=run, args=(channel, command.decode()), daemon=True).start()
        return True


def serve(connection, key):
    transport = paramiko.Transport(connection)
    transport.auth_timeout = LOGIN_SECONDS
    transport.add_server_key(key)
    try:
        transport.start_server(server=Host(key))
        transport.join()
    except (paramiko.SSHException, EOFError, OSError):
        transport.close()  # a caller that only looked, or spoke something else


def main():
    if sys.argv[1:] != ["-D"]:
        sys.exit("usage: sshd -D (there are no other options in an instance of Sagebrush)")
    key = write_job_key(pathlib.Path.home() / ".ssh")
    listener = socket.create_server(("", PORT), backlog=128)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection, key), daemon=True).start()


if __name__ == "__main__":
    main()
