"""From the CreateTrainingJob call to the first line of every host, for jobs of 2, 4 and 16 instances.

The hosts run a plain Python, so that the figure is the engine's and not an interpreter's with TensorFlow; each prints
the wall clock before it does anything else. Beside it: when the first of the hosts was there, and as many plain
`python script` processes started at once.
"""

import statistics
import subprocess
import time

from harness import Report, Row, warm_engine
from start_latency import SCRIPT, first_line_time
from support.waiting import wait_until

NAME = "gang-start"
TARGET_SECONDS = 0.4
IMAGE = "sagebrush/python:3.11"
SIZES = (2, 4, 16)


def one_gang(jobs, size):
    """Seconds after the call: when each host's first line was printed, in order."""
    # A job gives its room to the next one only when its instances are removed.
    instances = jobs.engine.data_dir / "instances"
    wait_until(lambda: not any(instances.iterdir()), 60, "the removal of the former job's instances")
    name = jobs.new_name("gang")
    request = jobs.request(name, SCRIPT, instances=size, instance_type="ml.t3.medium",
                           AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"})
    jobs.names.append(name)
    called = time.time()
    jobs.sagemaker.create_training_job(**request)
    description = jobs.wait(name, 300)
    assert description["TrainingJobStatus"] == "Completed", description.get("FailureReason")
    return sorted(first_line_time(jobs.lines(name, rank)) - called for rank in range(1, size + 1))


def plain_gang(python, script, size):
    called = time.time()
    processes = [subprocess.Popen([python, script], stdout=subprocess.PIPE, text=True) for _ in range(size)]
    return max(first_line_time(process.communicate()[0].splitlines()) for process in processes) - called


def run(smoke):
    sizes, runs = ((2,), 1) if smoke else (SIZES, 10)
    rows = []
    with warm_engine(IMAGE) as (jobs, python):
        script = jobs.engine.data_dir.parent / "script.py"
        script.write_text(SCRIPT)
        one_gang(jobs, sizes[0])
        for size in sizes:
            gangs = [one_gang(jobs, size) for _ in range(runs)]
            plain = [plain_gang(python, script, size) for _ in range(runs)]
            rows += [Row(f"{size} instances: first host", "ms", [gang[0] * 1000 for gang in gangs]),
                     Row(f"{size} instances: last host", "ms", [gang[-1] * 1000 for gang in gangs]),
                     Row(f"{size} plain processes: last", "ms", [seconds * 1000 for seconds in plain])]
    figure = statistics.median(rows[-2].values) / 1000
    return Report(NAME, f"CreateTrainingJob call to the first line of all of {sizes[-1]} hosts, after the call", figure,
                  "s", TARGET_SECONDS, rows)
