"""CloudWatch Logs as the SDKs' pollers need it (order, tokens, inclusive startTime), and live lines of a job."""

import time
import uuid

import pytest
from botocore.exceptions import ClientError

from support.jobs import LOG_GROUP, numbered_lines


@pytest.fixture
def logs(jobs):
    return jobs.logs


@pytest.fixture
def stream(logs):
    """A group and a stream with ten events, two at each of five milliseconds."""
    names = {"logGroupName": f"group/{uuid.uuid4().hex}", "logStreamName": "stream"}
    logs.create_log_group(logGroupName=names["logGroupName"])
    logs.create_log_stream(**names)
    base = int(time.time() * 1000) - 10_000
    events = [{"timestamp": base + number // 2, "message": f"event {number}"} for number in range(10)]
    logs.put_log_events(**names, logEvents=events)
    return names, events


def messages(page):
    return [event["message"] for event in page["events"]]


def pages(logs, **request):
    """Reads on by nextForwardToken until a page is empty, as the SDK does; at most 50 pages."""
    found = []
    for _ in range(50):
        page = logs.get_log_events(**request)
        found.append(page)
        if not page["events"]:
            return found
        request["nextToken"] = page["nextForwardToken"]
    raise AssertionError("the pages never ended")


def test_reading_forward_ends_with_an_empty_page(logs, stream):
    names, events = stream
    read = [message for page in pages(logs, **names, startFromHead=True, limit=3) for message in messages(page)]
    assert read == [event["message"] for event in events]


def test_start_time_is_inclusive_and_end_time_is_not(logs, stream):
    names, events = stream
    first = events[4]["timestamp"]
    assert messages(logs.get_log_events(**names, startTime=first, startFromHead=True))[0] == "event 4"
    assert messages(logs.get_log_events(**names, endTime=first, startFromHead=True)) == [f"event {n}" for n in range(4)]


def test_a_forward_token_stays_valid_for_later_events(logs, stream):
    names, events = stream
    token = pages(logs, **names, startFromHead=True)[-1]["nextForwardToken"]
    again = logs.get_log_events(**names, nextToken=token, startFromHead=True)
    assert again["events"] == [] and again["nextForwardToken"] == token
    logs.put_log_events(**names, logEvents=[{"timestamp": events[-1]["timestamp"], "message": "later"}])
    assert messages(logs.get_log_events(**names, nextToken=token, startFromHead=True)) == ["later"]


def test_without_start_from_head_the_newest_come_first_and_the_backward_token_leads_back(logs, stream):
    names, _ = stream
    newest = logs.get_log_events(**names, limit=4)
    assert messages(newest) == [f"event {n}" for n in (6, 7, 8, 9)]
    before = logs.get_log_events(**names, limit=4, nextToken=newest["nextBackwardToken"])
    assert messages(before) == [f"event {n}" for n in (2, 3, 4, 5)]


def test_describe_log_streams_has_no_token_when_all_fit(logs, jobs):
    """With a token the v2 SDK asks for ever."""
    name = jobs.completed(instances=2)["TrainingJobName"]
    reply = logs.describe_log_streams(logGroupName=LOG_GROUP, logStreamNamePrefix=name + "/", orderBy="LogStreamName",
                                      limit=2)
    assert len(reply["logStreams"]) == 2 and "nextToken" not in reply
    first = logs.describe_log_streams(logGroupName=LOG_GROUP, logStreamNamePrefix=name + "/", limit=1)
    rest = logs.describe_log_streams(logGroupName=LOG_GROUP, logStreamNamePrefix=name + "/", limit=1,
                                     nextToken=first["nextToken"])
    assert [first["logStreams"][0], rest["logStreams"][0]] == reply["logStreams"]


def test_filter_finds_by_pattern_and_time_over_pages(logs, stream):
    names, events = stream
    group = names["logGroupName"]
    assert messages(logs.filter_log_events(logGroupName=group, filterPattern='"event 7"')) == ["event 7"]
    assert len(messages(logs.filter_log_events(logGroupName=group, filterPattern="event -7"))) == 9
    later = logs.filter_log_events(logGroupName=group, startTime=events[6]["timestamp"])
    assert messages(later) == [f"event {n}" for n in (6, 7, 8, 9)]
    paged = logs.get_paginator("filter_log_events").paginate(logGroupName=group, PaginationConfig={"PageSize": 3})
    found = [event for page in paged for event in page["events"]]
    assert [event["message"] for event in found] == [f"event {n}" for n in range(10)]
    assert len({event["eventId"] for event in found}) == 10


@pytest.mark.parametrize("operation, request_", [
    ("get_log_events", {"logGroupName": "/none", "logStreamName": "none"}),
    ("describe_log_streams", {"logGroupName": "/none"}),
    ("filter_log_events", {"logGroupName": "/none"})])
def test_an_unknown_group_is_resource_not_found(logs, operation, request_):
    with pytest.raises(ClientError) as failure:
        getattr(logs, operation)(**request_)
    assert failure.value.response["Error"]["Code"] == "ResourceNotFoundException"


def test_an_existing_group_is_not_made_twice(logs, stream):
    names, _ = stream
    for call, request in ((logs.create_log_group, {"logGroupName": names["logGroupName"]}), (logs.create_log_stream, names)):
        with pytest.raises(ClientError) as failure:
            call(**request)
        assert failure.value.response["Error"]["Code"] == "ResourceAlreadyExistsException"


def test_groups_are_listed_by_prefix(logs, stream):
    names, _ = stream
    groups = logs.describe_log_groups(logGroupNamePrefix=names["logGroupName"])["logGroups"]
    assert [group["logGroupName"] for group in groups] == [names["logGroupName"]]


def test_unflushed_lines_reach_a_reader_while_the_script_runs(jobs):
    """The script never flushes and its output is no terminal: the line is there all the same, long before the end."""
    name = jobs.submit("import time\nprint('unflushed')\nwhile True: time.sleep(0.05)\n")
    jobs.wait_for_line(name, "unflushed")
    assert jobs.describe(name)["TrainingJobStatus"] == "InProgress"
    jobs.sagemaker.stop_training_job(TrainingJobName=name)
    jobs.wait(name)
    assert jobs.lines(name).count("unflushed") == 1


def test_ten_thousand_quick_lines_are_complete_in_order_once(jobs):
    description = jobs.completed("for n in range(10_000): print('line', n)")
    name = description["TrainingJobName"]
    events = jobs.events(name)
    assert numbered_lines([event["message"] for event in events]) == list(range(10_000))
    times = [event["timestamp"] for event in events]
    assert times == sorted(times)


def test_odd_output_is_kept(jobs):
    """An unfinished last line, long lines, other bytes than UTF-8, standard error."""
    name = jobs.completed("""\
import os, sys
print("ünï ☃")
sys.stderr.write("to stderr\\n")
sys.stderr.flush()
os.write(1, b"bad \\xff\\xfe bytes\\n")
os.write(1, b"x" * 100_000 + b"\\n")
os.write(1, b"no line end")
""")["TrainingJobName"]
    lines = jobs.lines(name)
    assert "ünï ☃" in lines and "to stderr" in lines and "no line end" in lines
    assert any(line.startswith("bad ") and line.endswith(" bytes") for line in lines)
    assert sum(line.count("x") for line in lines if set(line) == {"x"}) == 100_000


def test_logs_are_complete_when_the_job_is_seen_to_have_ended(jobs):
    """The v3 SDK reads for the last time right after the Describe that shows the end."""
    for _ in range(3):
        description = jobs.run("for n in range(500): print('line', n)")
        assert numbered_lines(jobs.lines(description["TrainingJobName"])) == list(range(500))


def test_every_host_has_one_stream(jobs):
    name = jobs.completed(instances=2)["TrainingJobName"]
    hosts = sorted(item.split("/")[1].rsplit("-", 1)[0] for item in jobs.streams(name))
    assert hosts == ["algo-1", "algo-2"]
    assert all(item.rsplit("-", 1)[1].isdigit() for item in jobs.streams(name))
