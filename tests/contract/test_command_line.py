"""sagebrush attach, jobs, logs, describe, stop and doctor, against real jobs."""

import json
import os
import pty
import signal
import subprocess
import sys

from support.engine import free_environment
from support.waiting import wait_until

RUNS_UNTIL_STOPPED = "import time\nprint('started', flush=True)\nwhile True: time.sleep(0.05)\n"


def attach(engine, name, **options):
    return subprocess.Popen(engine.cli_command("attach", name), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env=free_environment(), text=True, **options)


def test_attach_shows_live_output_and_ends_with_the_job(jobs):
    """The line is there while the job still runs: it goes on only after its output was seen."""
    name = jobs.submit("import time\nfor n in range(40):\n    print('line', n, flush=True)\n    time.sleep(0.05)\n")
    process = attach(jobs.engine, name)
    seen_while_running = False
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if "line 0" in line:
            seen_while_running = jobs.describe(name)["TrainingJobStatus"] == "InProgress"
    assert process.wait(30) == 0, process.stderr.read()
    assert seen_while_running
    numbers = [int(line.rsplit(" ", 1)[1]) for line in lines if "line " in line and line.rsplit(" ", 1)[1].isdigit()]
    assert numbers == list(range(40))


def test_attach_names_the_host_of_each_line(jobs):
    name = jobs.submit("import os\nprint('I am', os.environ['SM_CURRENT_HOST'])\n", instances=2)
    result = jobs.engine.cli("attach", name)
    assert result.returncode == 0, result.stderr
    for host in ("algo-1", "algo-2"):
        line = next(line for line in result.stdout.splitlines() if f"I am {host}" in line)
        assert line.count(host) == 2, line  # once as the label, once in the text


def test_attach_to_a_finished_job_prints_it_all_and_succeeds(jobs):
    name = jobs.completed("print('only line')")["TrainingJobName"]
    result = jobs.engine.cli("attach", name)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("only line") == 1


def test_attach_to_a_failed_job_tells_why_with_exit_code_1(jobs):
    name = jobs.run("print('before')\nraise ValueError('bad luck')\n")["TrainingJobName"]
    result = jobs.engine.cli("attach", name)
    assert result.returncode == 1
    assert "before" in result.stdout
    assert "ValueError" in result.stdout + result.stderr and "bad luck" in result.stdout + result.stderr


def test_attach_to_an_unknown_job_ends_with_exit_code_2(engine):
    result = engine.cli("attach", "no-such-job")
    assert result.returncode == 2
    assert "no-such-job" in result.stderr


def test_attach_to_a_stopped_job_ends_with_exit_code_3(jobs):
    name = jobs.submit(RUNS_UNTIL_STOPPED)
    process = attach(jobs.engine, name)
    jobs.wait_for_line(name, "started")
    jobs.sagemaker.stop_training_job(TrainingJobName=name)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 3, errors
    assert "started" in output


def test_interrupting_attach_leaves_the_job_running_and_says_how_to_come_back(jobs):
    name = jobs.submit(RUNS_UNTIL_STOPPED)
    process = attach(jobs.engine, name)
    wait_until(lambda: "started" in process.stdout.readline(), 60, "the first line of attach")
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"sagebrush attach {name}" in output + errors
    assert jobs.describe(name)["TrainingJobStatus"] == "InProgress"
    jobs.sagemaker.stop_training_job(TrainingJobName=name)
    jobs.wait(name)


def test_attach_goes_on_when_the_engine_restarts(new_engine):
    """Killing the engine under an attached client loses and repeats no line."""
    jobs = new_engine()
    name = jobs.submit("import time\nfor n in range(60):\n    print('line', n, flush=True)\n    time.sleep(0.05)\n")
    process = attach(jobs.engine, name)
    wait_until(lambda: "line 5" in process.stdout.readline(), 60, "the first lines")
    jobs.engine.kill()
    jobs.engine.start()
    output, errors = process.stdout.read(), process.stderr.read()  # communicate() would skip what readline() read ahead
    assert process.wait(60) == 0, errors
    numbers = [int(line.rsplit(" ", 1)[1]) for line in output.splitlines() if line.rsplit("line ", 1)[-1].isdigit()]
    assert numbers == list(range(6, 60))


def test_logs_prints_what_was_and_follow_waits_for_the_end(jobs):
    name = jobs.submit("import time\nprint('first', flush=True)\ntime.sleep(1)\nprint('last')\n")
    followed = jobs.engine.cli("logs", name, "-f")
    assert followed.returncode == 0, followed.stderr
    assert followed.stdout.index("first") < followed.stdout.index("last")
    printed = jobs.engine.cli("logs", name)
    assert printed.returncode == 0 and "first" in printed.stdout and "last" in printed.stdout


def test_jobs_and_describe_show_a_job(jobs):
    name = jobs.completed()["TrainingJobName"]
    listed = jobs.engine.cli("jobs")
    assert listed.returncode == 0, listed.stderr
    assert any(name in line and "Completed" in line for line in listed.stdout.splitlines())
    shown = jobs.engine.cli("describe", name)
    assert shown.returncode == 0 and name in shown.stdout and "Completed" in shown.stdout
    described = json.loads(jobs.engine.cli("describe", name, "--json").stdout)
    assert described["TrainingJobName"] == name and described["TrainingJobStatus"] == "Completed"
    unknown = jobs.engine.cli("describe", "no-such-job")
    assert unknown.returncode == 2 and "no-such-job" in unknown.stderr


def test_stop_with_wait_returns_when_the_job_has_stopped(jobs):
    name = jobs.submit(RUNS_UNTIL_STOPPED)
    jobs.wait_for_line(name, "started")
    result = jobs.engine.cli("stop", name, "--wait")
    assert result.returncode == 0, result.stderr
    assert jobs.describe(name)["TrainingJobStatus"] == "Stopped"


def test_doctor_finds_this_machine_fit(engine):
    result = engine.cli("doctor")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.strip()


def test_env_is_all_a_shell_needs(engine):
    """eval "$(sagebrush env)" in a shell, then the AWS command line client as it is."""
    aws = os.path.join(os.path.dirname(sys.executable), "aws")
    script = f'eval "$({" ".join(engine.cli_command("env"))})" && {aws} sts get-caller-identity --query Account --output text'
    environment = free_environment()
    result = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.strip()) == 12


def test_no_secret_is_printed_where_it_is_not_asked_for(jobs):
    """Neither the engine's log nor describe, jobs or doctor show the owner's or a job's secret key."""
    secret = jobs.engine.environment()["AWS_SECRET_ACCESS_KEY"]
    name = jobs.completed()["TrainingJobName"]
    outputs = [jobs.engine.cli(*command) for command in (["jobs"], ["describe", name], ["doctor"], ["logs", name])]
    assert all(secret not in result.stdout + result.stderr for result in outputs)
    assert secret not in jobs.engine.log_path.read_text()


def test_attach_shows_the_same_in_a_terminal(jobs):
    """With a terminal there may be colours and progress, yet every line and the exit code are the same."""
    name = jobs.completed("print('only line')")["TrainingJobName"]
    leader, follower = pty.openpty()
    process = subprocess.Popen(jobs.engine.cli_command("attach", name), stdout=follower, stderr=follower,
                               env=free_environment() | {"TERM": "xterm"})
    os.close(follower)
    output = b""
    try:
        while chunk := os.read(leader, 4096):
            output += chunk
    except OSError:
        pass  # the terminal's way of saying that nobody writes any more
    os.close(leader)
    assert process.wait(30) == 0
    assert b"only line" in output
