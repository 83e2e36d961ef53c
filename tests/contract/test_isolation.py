"""A real training script tries to get out: at what it may not read, other jobs, mounts, other processes."""

import os
import pathlib

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
