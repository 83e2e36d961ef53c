"""kill -9 of the engine while jobs run: they go on; logs arrive complete, once, in order; each ends once."""

from support import leaks
from support.engine import Engine
from support.jobs import assert_legal_transitions, numbered_lines, secondary_statuses
from support.waiting import wait_until

COUNTING = "import time\nfor n in range(100):\n    print('line', n, flush=True)\n    time.sleep(0.03)\nopen('/opt/ml/model/done', 'w').write('done')\n"


def assert_completed_once(jobs, name, lines):
    description = jobs.wait(name, 90)
    assert description["TrainingJobStatus"] == "Completed", description.get("FailureReason")
    assert_legal_transitions(description)
    assert secondary_statuses(description).count("Completed") == 1
    assert numbered_lines(jobs.lines(name)) == list(range(lines))
    assert len(jobs.streams(name)) == 1
    assert jobs.model_files(description) == {"done": b"done"}


def test_a_job_outlives_its_engine(new_engine):
    jobs = new_engine()
    name = jobs.submit(COUNTING)
    jobs.wait_for_line(name, "line 10")
    jobs.engine.kill()
    jobs.engine.start()
    assert_completed_once(jobs, name, 100)


def test_a_job_that_ends_while_the_engine_is_away_is_found_completed(new_engine):
    """The engine is started again only after the instance's processes are gone."""
    jobs = new_engine()
    name = jobs.submit(COUNTING)
    jobs.wait_for_line(name, "line 1")
    jobs.engine.kill()

    def no_program_left():
        return not any("train.py" in command for command in leaks.processes_of(jobs.engine.data_dir).values())

    wait_until(no_program_left, 60, "the end of the program")
    jobs.engine.start()
    assert_completed_once(jobs, name, 100)


def test_many_kills_in_a_row_change_nothing(new_engine):
    jobs = new_engine()
    names = [jobs.submit(COUNTING) for _ in range(3)]
    for line in (5, 30, 60):
        jobs.wait_for_line(names[0], f"line {line}")
        jobs.engine.kill()
        jobs.engine.start()
    for name in names:
        assert_completed_once(jobs, name, 100)


def test_a_stop_asked_for_before_the_kill_is_carried_out_after_it(new_engine):
    jobs = new_engine()
    name = jobs.submit("import time\nprint('started', flush=True)\nwhile True: time.sleep(0.05)\n")
    jobs.wait_for_line(name, "started")
    jobs.sagemaker.stop_training_job(TrainingJobName=name)
    jobs.engine.kill()
    jobs.engine.start()
    assert jobs.wait(name)["TrainingJobStatus"] == "Stopped"


def test_the_longest_run_time_holds_over_a_kill(new_engine):
    jobs = new_engine()
    name = jobs.submit("import time\nprint('started', flush=True)\nwhile True: time.sleep(0.05)\n", max_runtime=4)
    jobs.wait_for_line(name, "started")
    jobs.engine.kill()
    jobs.engine.start()
    description = jobs.wait(name)
    assert (description["TrainingJobStatus"], description["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_objects_tags_and_jobs_are_there_after_a_kill(new_engine):
    jobs = new_engine()
    description = jobs.completed("print('once')", Tags=[{"Key": "a", "Value": "b"}])
    uri = jobs.put("kept", b"kept" * 100_000)
    jobs.engine.kill()
    jobs.engine.start()
    assert jobs.get(uri) == b"kept" * 100_000
    again = jobs.describe(description["TrainingJobName"])
    assert {key: value for key, value in again.items() if key != "ResponseMetadata"} == {
        key: value for key, value in description.items() if key != "ResponseMetadata"}
    assert jobs.sagemaker.list_tags(ResourceArn=description["TrainingJobArn"])["Tags"] == [{"Key": "a", "Value": "b"}]


def test_a_polite_stop_leaves_the_job_running_too(new_engine):
    jobs = new_engine()
    name = jobs.submit(COUNTING)
    jobs.wait_for_line(name, "line 5")
    assert jobs.engine.stop() == 0
    jobs.engine.start()
    assert_completed_once(jobs, name, 100)


def test_a_second_engine_on_the_same_data_is_refused(new_engine):
    jobs = new_engine()
    second = Engine(data_dir=jobs.engine.data_dir)
    result = second.cli("serve", "--listen", "127.0.0.1:0", timeout=30)
    assert result.returncode != 0
    assert "already" in result.stderr or "lock" in result.stderr or "running" in result.stderr, result.stderr
    assert jobs.engine.alive()
