"""How the control plane's cost per instance grows from gangs of 64 to gangs of 1,000 instances, on simulated machines.

One job per process and size, from CreateTrainingJob to the removal of its instances, each of which tells of five
changes of its status; the driver is the fake one, so that only the control plane and its databases are at work. The
figure is processor time per further instance at 1,000 over that at 64, a job of one instance taken off both: 1 is
linear, 15.6 quadratic. Beside it: starts decided a second, and memory per instance.
"""

import json
import os
import pathlib
import statistics
import subprocess

from harness import Report, Row

NAME = "gang-simulated"
TARGET_GROWTH = 1.5
SIZES = (64, 250, 1000)
RUNS = 5


def program():
    """The benchmark's own program, which no other build needs."""
    build = pathlib.Path(os.environ["SAGEBRUSH_BUILD"])
    subprocess.run(["cmake", "--build", build, "--target", "gang_simulated"], check=True, stdout=subprocess.DEVNULL)
    return build / "gang_simulated"


def one_gang(binary, size):
    done = subprocess.run([binary, str(size)], check=True, capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert report["status"] == "Completed", report
    return report


def run(smoke):
    binary = program()
    sizes, runs = ((4, 16), 1) if smoke else (SIZES, RUNS)
    # Round by round, so that what else the machine does falls on all sizes alike.
    rounds = [{size: one_gang(binary, size) for size in (1, *sizes)} for _ in range(runs)]

    def further(gangs, size):
        return 1e6 * (gangs[size]["cpu_seconds"] - gangs[1]["cpu_seconds"]) / (size - 1)

    rows = [Row("a job of one: processor time", "µs", [1e6 * gangs[1]["cpu_seconds"] for gangs in rounds])]
    for size in sizes:
        each = [gangs[size] for gangs in rounds]
        rows += [Row(f"{size}: processor time per further instance", "µs", [further(gangs, size) for gangs in rounds]),
                 Row(f"{size}: starts decided", "1/s", [size / gang["start_seconds"] for gang in each]),
                 Row(f"{size}: start to release of all", "ms", [1000 * gang["release_seconds"] for gang in each]),
                 Row(f"{size}: memory per instance", "KiB", [gang["memory_bytes"] / size / 1024 for gang in each]),
                 Row(f"{size}: looks per instance", "", [gang["inspections"] / size for gang in each])]
    growth = statistics.median(further(gangs, sizes[-1]) / further(gangs, sizes[0]) for gangs in rounds)
    return Report(NAME, f"processor time per further instance, {sizes[-1]} over {sizes[0]}", growth, "x",
                  TARGET_GROWTH, rows)
