"""A real training script tries to get out: at what it may not read, other jobs, mounts, other processes."""

import contextlib
import json
import os
import pathlib
import socket

import pytest

from support import leaks
from support.waiting import wait_until

TRY = """\
import os, subprocess, ctypes, pathlib, signal
def attempt(action):
    try:
        result = action()
        return "done: " + repr(result)[:200]
    except BaseException as error:
        return "refused: " + type(error).__name__ + " " + str(error)[:200]
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
"""


def attempts(jobs, **actions):
    """Each action is an expression that should be refused; {name: what happened}."""
    script = TRY + "report({" + ", ".join(f"{name!r}: attempt(lambda: {code})" for name, code in actions.items()) + "})\n"
    return jobs.report(script)


def test_nothing_root_only_is_readable(jobs):
    seen = attempts(
        jobs, shadow="open('/etc/shadow').read()", gshadow="open('/etc/gshadow').read()", ssh_key="open('/etc/ssh/ssh_host_rsa_key').read()",
        root_home="os.listdir('/root/.ssh')", memory="open('/dev/mem', 'rb').read(1)", kernel="open('/proc/kcore', 'rb').read(10)",
        disk="[open('/dev/' + name, 'rb').read(1) for name in ('vda', 'sda', 'nvme0n1')]")
    assert all(result.startswith("refused") or name == "kernel" and result == "done: b''" for name, result in seen.items()), seen


def test_a_root_only_file_of_the_host_stays_unread(jobs, tmp_path):
    """A file of this test's own, mode 0600 and world-readable parents, in a place that is not hidden as a whole."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a root-only file")
    secret = pathlib.Path("/usr/local/share/sagebrush-test-secret")
    secret.write_text("top secret")
    secret.chmod(0o600)
    try:
        seen = attempts(jobs, secret=f"open('{secret}').read()", change=f"open('{secret}', 'w')", mode=f"os.chmod('{secret}', 0o777)")
        assert all(result.startswith("refused") for result in seen.values()), seen
        assert secret.read_text() == "top secret"
    finally:
        secret.unlink()


def test_the_engines_data_is_out_of_sight(jobs):
    """Of the data directory there is the certificate bundle, for programs to read, and nothing else."""
    data = jobs.engine.data_dir
    seen = attempts(jobs, keys=f"open('{data}/credentials.json').read()", engine=f"open('{data}/engine.json').read()",
                    authority=f"open('{data}/ca/ca.key').read()", change=f"open('{data}/ca/bundle.pem', 'a')")
    assert all(result.startswith("refused") for result in seen.values()), seen
    files = jobs.report("import os\n"
                        f"report([os.path.join(top, name) for top, _, names in os.walk('{data}') for name in names])\n")
    assert files == [f"{data}/ca/bundle.pem"]


def test_the_host_stays_unwritten(jobs):
    marker = f"sagebrush-isolation-{os.getpid()}"
    paths = [f"/etc/{marker}", f"/usr/local/{marker}", f"/tmp/{marker}", f"/var/tmp/{marker}", f"/home/{marker}", f"/dev/shm/{marker}"]
    attempts(jobs, **{f"write_{number}": f"open('{path}', 'w').write('x')" for number, path in enumerate(paths)})
    assert [path for path in paths if os.path.exists(path)] == []


def test_mounting_tracing_and_device_making_are_refused(jobs):
    seen = attempts(
        jobs, mount="call('mount', b'tmpfs', b'/mnt', b'tmpfs', 0, None)", unmount="call('umount2', b'/proc', 2)",
        namespace="call('unshare', 0x00020000)", user_namespace="call('unshare', 0x10000000)",
        device="os.mknod('/tmp/disk', 0o60600, os.makedev(254, 0))",
        trace_init="call('ptrace', 16, 1, None, None)", hostname="call('sethostname', b'x', 1)",
        time="call('settimeofday', ctypes.byref(ctypes.create_string_buffer(16)), None)",
        module="call('syscall', 175, None, 0, b'')", sysctl="open('/proc/sys/kernel/hostname', 'w').write('x')",
        reboot="call('reboot', 0)", chroot="os.chroot('/tmp')")
    refused = ("refused: PermissionError", "refused: OSError [Errno 30]")  # the second: a read-only file system
    assert all(result.startswith(refused) for result in seen.values()), seen


def test_no_capability_helps_against_the_host(jobs):
    """Root inside is nobody outside: its user namespace maps it to an unprivileged user, or it is none at all."""
    seen = jobs.report("import pathlib\nstatus = pathlib.Path('/proc/self/status').read_text()\n"
                       "report({'status': status, 'map': pathlib.Path('/proc/self/uid_map').read_text().split()})\n")
    status = dict(line.split(":\t", 1) for line in seen["status"].splitlines() if ":\t" in line)
    assert status["NoNewPrivs"].strip() == "1"
    assert seen["map"][1] != "0", "root inside is root outside"


def test_processes_of_others_are_invisible(jobs):
    other = jobs.submit("import time\nprint('started', flush=True)\nwhile True: time.sleep(0.05)\n")
    jobs.wait_for_line(other, "started")
    try:
        seen = jobs.report("import os, pathlib\nreport({pid: pathlib.Path('/proc', pid, 'cmdline').read_bytes().decode()"
                           " for pid in os.listdir('/proc') if pid.isdigit()})\n")
        assert len(seen) < 20
        assert not any("sagebrush serve" in line.replace("\0", " ") or other in line for line in seen.values())
    finally:
        jobs.sagemaker.stop_training_job(TrainingJobName=other)
        jobs.wait(other)


def test_files_of_another_running_job_are_out_of_reach(jobs):
    other = jobs.submit("""\
import time
for place in ("/opt/ml/model", "/tmp", "/opt/ml/output/data"): open(place + "/theirs.txt", "w").write("private")
print("started", flush=True)
while True: time.sleep(0.05)
""")
    jobs.wait_for_line(other, "started")
    try:
        seen = jobs.report("import subprocess\nreport(subprocess.run(['find', '/', '-xdev', '-name', 'theirs.txt'],"
                           " capture_output=True, text=True).stdout)\n", deadline=120)
        assert seen == ""
    finally:
        jobs.sagemaker.stop_training_job(TrainingJobName=other)
        jobs.wait(other)


def test_many_processes_and_an_orphan_end_with_the_job(jobs):
    """A child that leaves its session must not outlive the job; the shared engine's leak check sees it otherwise."""
    description = jobs.completed("""\
import subprocess
subprocess.Popen(["setsid", "sleep", "1000"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print("leaving")
""")
    name = description["TrainingJobName"]
    wait_until(lambda: not any("sleep 1000" in command for command in leaks.processes_of(jobs.engine.data_dir).values()),
               15, f"the end of the orphan of {name}")


def test_a_job_without_network_reaches_no_other_host_but_the_engine(jobs):
    seen = jobs.report("""\
import os, socket, urllib.parse
def reach(host, port):
    try:
        socket.create_connection((host, port), timeout=3).close()
        return True
    except OSError: return False
address = urllib.parse.urlsplit(os.environ["AWS_ENDPOINT_URL"])
report({"engine": reach(address.hostname, address.port), "outside": reach("192.0.2.1", 80), "dns": reach("1.1.1.1", 53)})
""", EnableNetworkIsolation=True)
    assert seen == {"engine": True, "outside": False, "dns": False}


# Every host answers at one port with its job and name, and goes on when it has reached all hosts of its job; at its end
# it waits for the others' end. Reads PORT from the environment.
TOGETHER = """\
import fcntl, json, os, socket, struct, threading, time, urllib.request
PORT, mine, hosts = int(os.environ["PORT"]), os.environ["SM_CURRENT_HOST"], json.loads(os.environ["SM_HOSTS"])
done = threading.Semaphore(0)
listener = socket.create_server(("", PORT))
def serve():
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(f"{os.environ['TRAINING_JOB_NAME']} {mine}".encode())
            connection.shutdown(socket.SHUT_WR)
            if connection.recv(100):
                done.release()
threading.Thread(target=serve, daemon=True).start()
def reach(host, port=PORT, word=b""):
    try:
        with socket.create_connection((host, port), timeout=3) as connection:
            connection.sendall(word)
            return connection.recv(100).decode()
    except OSError:
        return None
def all_hosts():
    return {host: reach(host) for host in hosts}
while None in all_hosts().values():
    time.sleep(0.05)
print("together", flush=True)
def end(seen):
    print("seen", json.dumps(seen), flush=True)
    for host in hosts:
        reach(host, word=b"done")
    for host in hosts:
        done.acquire()
"""


def seen_by(jobs, name, hosts):
    found = [[line for line in jobs.lines(name, rank) if line.startswith("seen ")] for rank in range(1, hosts + 1)]
    return [json.loads(lines[0].removeprefix("seen ")) for lines in found]


def test_a_gang_without_network_reaches_its_hosts_and_the_engine_alone(jobs):
    description = jobs.completed(TOGETHER + """\
def proxied(url):
    proxies = dict.fromkeys(("http", "https"), os.environ["AWS_ENDPOINT_URL"])
    try:
        return urllib.request.build_opener(urllib.request.ProxyHandler(proxies)).open(url, timeout=5).status
    except OSError as error:
        return str(error)
engine = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://").split(":")
def under_tls():
    import ssl
    answers = []
    for line in ("CONNECT example.com:443", "GET http://example.com/"):
        with socket.create_connection(engine, timeout=5) as plain:
            context = ssl.create_default_context(cafile=os.environ["AWS_CA_BUNDLE"])
            with context.wrap_socket(plain, server_hostname=engine[0]) as tls:
                tls.sendall(f"{line} HTTP/1.1\\r\\nHost: example.com\\r\\nConnection: close\\r\\n\\r\\n".encode())
                answers.append(tls.recv(10000).decode())
    return answers
end({"hosts": all_hosts(), "engine": reach(engine[0], int(engine[1]), b"GET / HTTP/1.1\\r\\nHost: s3\\r\\n\\r\\n"),
     "outside": [reach(host, port) for host, port in (("192.0.2.1", 80), ("1.1.1.1", 53), ("10.77.255.254", 80))],
     "proxies": [name for name in os.environ if name.lower() in ("http_proxy", "https_proxy")],
     "proxied": [proxied("http://example.com/"), proxied("https://example.com/")], "under_tls": under_tls(),
     "routes": [line.split()[1] for line in open("/proc/net/route").read().splitlines()[1:]]})
""", instances=2, EnableNetworkIsolation=True, Environment={"PORT": "5000"})
    assert description["EnableNetworkIsolation"] is True
    name = description["TrainingJobName"]
    for seen in seen_by(jobs, name, 2):
        assert seen["hosts"] == {f"algo-{rank}": f"{name} algo-{rank}" for rank in (1, 2)}
        assert seen["engine"].startswith("HTTP/1.1 ")
        assert seen["outside"] == [None, None, None] and seen["proxies"] == []
        assert all("403" in answer for answer in seen["proxied"]), seen
        # The engine's own words: a refusal, and S3's answer for a bucket of that name.
        assert "CONNECT is understood on plain connections only" in seen["under_tls"][0], seen
        assert "<Error>" in seen["under_tls"][1] and "example domain" not in seen["under_tls"][1].lower(), seen
        assert seen["routes"] == ["00004D0A"], "the job's own network, 10.77.0.0, and no other"


def test_jobs_and_the_machine_use_one_port_and_do_not_see_each_other(new_engine):
    """Two gangs and this process listen at one port number at a time; each reaches its own hosts only."""
    jobs = new_engine(SAGEBRUSH_CAPACITY_VCPUS="100")  # so that both run at a time
    with contextlib.ExitStack() as stack:
        machine = stack.enter_context(socket.create_server(("0.0.0.0", 0)))
        machine.settimeout(0)
        port = machine.getsockname()[1]
        other = jobs.submit(TOGETHER + "import signal; signal.pause()\n", instances=3, Environment={"PORT": str(port)})
        stack.callback(lambda: jobs.wait(other))
        stack.callback(lambda: jobs.sagemaker.stop_training_job(TrainingJobName=other))
        for rank in (1, 2, 3):
            jobs.wait_for_line(other, "together", rank=rank)
        description = jobs.completed(TOGETHER + """\
def resolved(host):
    try: return socket.gethostbyname(host)
    except OSError: return None
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as query:
    name = os.environ["SM_NETWORK_INTERFACE_NAME"].encode()
    address = socket.inet_ntoa(fcntl.ioctl(query, 0x8915, struct.pack("256s", name))[20:24])  # SIOCGIFADDR
end({"hosts": all_hosts(), "loopback": reach("127.0.0.1"), "interface": address == resolved(mine),
     "third": resolved("algo-3"), "addresses": [reach(f"10.77.0.{number}") for number in range(1, 5)]})
""", instances=2, Environment={"PORT": str(port)})
        with pytest.raises(BlockingIOError):
            machine.accept()
    name = description["TrainingJobName"]
    own = [f"{name} algo-{rank}" for rank in (1, 2)]
    for rank, seen in enumerate(seen_by(jobs, name, 2)):
        assert seen["hosts"] == {"algo-1": own[0], "algo-2": own[1]}
        assert seen["loopback"] == own[rank]
        assert seen["interface"] is True, "SM_NETWORK_INTERFACE_NAME is the interface of SM_CURRENT_HOST"
        assert seen["third"] is None and seen["addresses"] == [*own, None, None]
