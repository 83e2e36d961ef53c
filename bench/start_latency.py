"""From the CreateTrainingJob call to the script's first line, with the environment cached.

The script prints the wall clock before it does anything else, so that neither log shipping nor polling is part of the
figure. Beside it: the parts, the same with a channel of many small files, and a plain `python script` start.
"""

import concurrent.futures
import statistics
import subprocess
import time

from harness import Report, Row, warm_engine

NAME = "start-latency"
TARGET_MS = 100
SCRIPT = "import time\nprint('first', time.time())\n"
MANY_FILES = 10_000


def first_line_time(lines):
    return float(next(line for line in lines if line.startswith("first ")).split()[1])


def one_start(jobs, channels=None):
    """Milliseconds after the call: {part: when it was reached}."""
    name = jobs.new_name("latency")
    request = jobs.request(name, SCRIPT, channels=channels)
    jobs.names.append(name)
    called = time.time()
    jobs.sagemaker.create_training_job(**request)
    replied = time.time()
    description = jobs.wait(name)
    assert description["TrainingJobStatus"] == "Completed", description.get("FailureReason")
    statuses = {entry["Status"]: entry["StartTime"].timestamp() for entry in description["SecondaryStatusTransitions"]}
    moments = {"reply": replied, "downloading": statuses.get("Downloading", replied),
               "training": statuses.get("Training", replied), "first line": first_line_time(jobs.lines(name)),
               "completed": statuses["Completed"]}
    return {part: (moment - called) * 1000 for part, moment in moments.items()}


def plain_start(python, script):
    called = time.time()
    output = subprocess.run([python, script], capture_output=True, text=True, check=True).stdout
    return (first_line_time(output.splitlines()) - called) * 1000


def fill_channel(jobs, count):
    """Many small objects under one prefix."""
    def put(number):
        jobs.s3.put_object(Bucket=jobs.bucket, Key=f"many/{number % 100:02d}/{number:05d}", Body=b"%d" % number * 100)

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(put, range(count)))
    return f"s3://{jobs.bucket}/many/"


def run(smoke):
    runs, large_runs, files = (2, 1, 100) if smoke else (30, 7, MANY_FILES)
    with warm_engine() as (jobs, python):
        script = jobs.engine.data_dir.parent / "script.py"
        script.write_text(SCRIPT)
        one_start(jobs)
        starts, plain = [], []
        for _ in range(runs):
            starts.append(one_start(jobs))
            plain.append(plain_start(python, script))
        channel = {"train": fill_channel(jobs, files)}
        tenth = {"train": channel["train"] + "0"}  # the ten directories 00 to 09
        few = [one_start(jobs, tenth) for _ in range(large_runs)]
        many = [one_start(jobs, channel) for _ in range(large_runs)]
    rows = [Row(f"engine: {part}", "ms", [start[part] for start in starts])
            for part in ("reply", "downloading", "training", "first line", "completed")]
    rows += [Row("plain python script: first line", "ms", plain),
             Row(f"engine, {files // 10:,} files: first line", "ms", [start["first line"] for start in few]),
             Row(f"engine, {files:,} files: first line", "ms", [start["first line"] for start in many])]
    first = statistics.median(start["first line"] for start in starts)
    per_file = (statistics.median(start["first line"] for start in many) - first) / files * 1000
    notes = [f"Over a plain start: {first - statistics.median(plain):.1f} ms. Each file of a channel adds {per_file:.1f} us."]
    return Report(NAME, "CreateTrainingJob call to the script's first line, ms after the call", first, "ms", TARGET_MS,
                  rows, notes)
