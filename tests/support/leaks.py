"""What an engine may have left behind: processes, mounts, control groups, named network namespaces."""

import hashlib
import os
import pathlib
import signal

from support.waiting import wait_until

CGROUP_ROOT = pathlib.Path("/sys/fs/cgroup")
NETNS_DIRECTORIES = (pathlib.Path("/run/netns"), pathlib.Path("/var/run/sagebrush"))
SETTLE_SECONDS = 15.0


def _read(path):
    try:
        return pathlib.Path(path).read_bytes()
    except OSError:
        return b""


def processes_of(data_dir):
    """Live processes that belong to the engine of the data directory: agents and supervisors by their arguments or
    environment, programs of instances by what they have mounted."""
    marker = str(data_dir).encode()
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        directory = f"/proc/{entry}"
        if _read(f"{directory}/stat").rpartition(b")")[2].split()[:1] in ([b"Z"], [b"X"], []):
            continue
        command = _read(f"{directory}/cmdline").replace(b"\0", b" ").decode(errors="replace").strip()
        if any(marker in _read(f"{directory}/{name}") for name in ("cmdline", "environ")):
            found[int(entry)] = command
        elif _mounts_differ(entry) and marker in _read(f"{directory}/mountinfo"):
            found[int(entry)] = command
    return found


def _mounts_differ(pid):
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt")
    except OSError:
        return False


def end_instances_of(data_dir):
    """At the very end of an engine of a test's own, above all of one that failed: instances outlive their engine, and
    nobody else would ever end them and remove their control groups."""
    def ended():
        processes = processes_of(data_dir)
        for pid in processes:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # gone with another
        return not processes
    wait_until(ended, SETTLE_SECONDS, f"the end of the processes of {data_dir}")
    # The groups' names begin with what the driver makes of the directory of all instances.
    own = hashlib.sha256(str(data_dir / "instances").encode()).hexdigest()[:8] + "."
    for path, _, _ in os.walk(CGROUP_ROOT, topdown=False):
        if any(part.startswith(own) for part in pathlib.Path(path).parts):
            wait_until(lambda: _removed(path), SETTLE_SECONDS, f"the removal of {path}")


def _removed(cgroup):
    try:
        os.rmdir(cgroup)
    except FileNotFoundError:
        pass
    except OSError:
        return False  # its last process is still on its way out
    return True


def mounts_of(data_dir):
    return [line for line in _read("/proc/self/mountinfo").decode(errors="replace").splitlines() if str(data_dir) in line]


def cgroups_of(job_names):
    names = tuple(job_names)
    return [] if not names else [
        path for path, _, _ in os.walk(CGROUP_ROOT) if any(name in os.path.basename(path) for name in names)]


def network_namespaces_of(job_names):
    return [str(entry) for directory in NETNS_DIRECTORIES if directory.is_dir() for entry in directory.iterdir()
            if any(name in entry.name for name in job_names)]


def leftovers(engine, job_names, but_engine=True):
    """A dictionary of all that is left, empty when nothing is. The engine's own process does not count when alive."""
    processes = processes_of(engine.data_dir)
    if but_engine and engine.process is not None:
        processes.pop(engine.process.pid, None)
    found = {"processes": processes, "mounts": mounts_of(engine.data_dir), "cgroups": cgroups_of(job_names),
             "network namespaces": network_namespaces_of(job_names)}
    return {kind: value for kind, value in found.items() if value}


def assert_nothing_left(engine, job_names, deadline=SETTLE_SECONDS):
    """The kernel takes a namespace apart in its own time, so what is found gets a moment to go."""
    last = {}

    def clean():
        last.clear()
        last.update(leftovers(engine, job_names))
        return not last

    try:
        wait_until(clean, deadline, "the end of all that the jobs used")
    except AssertionError:
        raise AssertionError(f"left behind: {last}") from None
