"""From a line being printed, unflushed, to a reader that polls GetLogEvents seeing it.

The script prints the wall clock; the reader notes when each line first appears in a reply. The alternative is a local
pipe: the same script as a plain child process, read line by line (it must flush there, since nobody else does).
"""

import subprocess
import time

from harness import Report, Row, percentile, warm_engine
from support.jobs import LOG_GROUP

NAME = "log-latency"
TARGET_MS = 200
SCRIPT = "import time\nfor n in range({lines}):\n    print('at', time.time())\n    time.sleep(0.05)\n"


def read_live(jobs, name, lines):
    """Milliseconds between print and sight, of every line."""
    stream = None
    while stream is None:
        stream = next(iter(jobs.streams(name)), None)
    delays, token = [], {}
    while len(delays) < lines:
        page = jobs.logs.get_log_events(logGroupName=LOG_GROUP, logStreamName=stream, startFromHead=True, **token)
        seen = time.time()
        delays += [(seen - float(event["message"].split()[1])) * 1000 for event in page["events"]
                   if event["message"].startswith("at ")]
        token = {"nextToken": page["nextForwardToken"]}
        assert page["events"] or jobs.describe(name)["TrainingJobStatus"] != "Failed", "the job failed"
        time.sleep(0.01)  # a reader's pause, a part of what is measured
    return delays


def plain_delays(python, script):
    process = subprocess.Popen([python, "-u", script], stdout=subprocess.PIPE, text=True)
    delays = [(time.time() - float(line.split()[1])) * 1000 for line in process.stdout]
    process.wait()
    return delays


def run(smoke):
    lines = 10 if smoke else 200
    with warm_engine() as (jobs, python):
        script = jobs.engine.data_dir.parent / "script.py"
        script.write_text(SCRIPT.format(lines=lines))
        name = jobs.submit(SCRIPT.format(lines=lines))
        delays = read_live(jobs, name, lines)
        jobs.wait(name)
        plain = plain_delays(python, script)
    rows = [Row("engine: printed to seen", "ms", delays), Row("plain pipe, flushed", "ms", plain)]
    return Report(NAME, "A printed line until GetLogEvents returns it; figure = the 99th percentile",
                  percentile(delays, 99), "ms", TARGET_MS, rows)
