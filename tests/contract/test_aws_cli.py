"""The AWS command line client, as it is."""

import json
import os
import time
import uuid

import pytest


@pytest.fixture
def bucket(aws):
    name = f"cli-{uuid.uuid4().hex[:12]}"
    aws("s3", "mb", f"s3://{name}")
    return f"s3://{name}"


def test_copy_list_and_remove(aws, bucket, tmp_path):
    source, copy = tmp_path / "a file.txt", tmp_path / "copy.txt"
    source.write_text("contents")
    aws("s3", "cp", str(source), f"{bucket}/deep/a file.txt")
    assert "a file.txt" in aws("s3", "ls", f"{bucket}/deep/")
    assert "PRE deep/" in aws("s3", "ls", f"{bucket}/")
    assert bucket.removeprefix("s3://") in aws("s3", "ls")
    aws("s3", "cp", f"{bucket}/deep/a file.txt", str(copy))
    assert copy.read_text() == "contents"
    aws("s3", "rm", f"{bucket}/deep/a file.txt")
    aws("s3", "ls", f"{bucket}/deep/", code=1)
    aws("s3", "rb", bucket)


def test_a_large_file_goes_in_parts_and_comes_back_whole(aws, bucket, tmp_path):
    content = os.urandom(20 * 1024 * 1024)
    source, copy = tmp_path / "large", tmp_path / "copy"
    source.write_bytes(content)
    aws("s3", "cp", str(source), f"{bucket}/large")
    aws("s3", "cp", f"{bucket}/large", f"{bucket}/second")
    aws("s3", "cp", f"{bucket}/second", str(copy))
    assert copy.read_bytes() == content


def test_standard_input_and_output(aws, bucket):
    aws("s3", "cp", "-", f"{bucket}/piped", data=b"through a pipe")
    assert aws("s3", "cp", f"{bucket}/piped", "-") == "through a pipe"


def test_sync_copies_once_and_follows_changes(aws, bucket, tmp_path):
    directory = tmp_path / "tree"
    (directory / "sub").mkdir(parents=True)
    for name in ("one", "two", "sub/three", "sub/snow ☃ + plus%"):
        (directory / name).write_text(name)
    assert aws("s3", "sync", str(directory), f"{bucket}/tree").count("upload:") == 4
    assert aws("s3", "sync", str(directory), f"{bucket}/tree") == ""
    (directory / "one").unlink()
    assert "delete:" in aws("s3", "sync", str(directory), f"{bucket}/tree", "--delete")
    back = tmp_path / "back"
    aws("s3", "sync", f"{bucket}/tree", str(back))
    assert sorted(path.read_text() for path in back.rglob("*") if path.is_file()) == ["sub/snow ☃ + plus%", "sub/three", "two"]
    aws("s3", "rm", "--recursive", f"{bucket}/tree")
    aws("s3", "ls", f"{bucket}/tree", code=1)


def test_a_missing_object_is_a_404(aws, bucket):
    assert "404" in aws("s3", "cp", f"{bucket}/nothing", "-", code=1)


def test_training_jobs_and_their_logs(aws, jobs):
    name = jobs.completed("print('from the job')")["TrainingJobName"]
    listed = json.loads(aws("sagemaker", "list-training-jobs", "--name-contains", name))
    assert [entry["TrainingJobName"] for entry in listed["TrainingJobSummaries"]] == [name]
    described = json.loads(aws("sagemaker", "describe-training-job", "--training-job-name", name))
    assert described["TrainingJobStatus"] == "Completed"
    aws("sagemaker", "wait", "training-job-completed-or-stopped", "--training-job-name", name)
    group = "/aws/sagemaker/TrainingJobs"
    streams = json.loads(aws("logs", "describe-log-streams", "--log-group-name", group, "--log-stream-name-prefix", name))
    stream = streams["logStreams"][0]["logStreamName"]
    events = json.loads(aws("logs", "get-log-events", "--log-group-name", group, "--log-stream-name", stream))
    assert "from the job" in [event["message"] for event in events["events"]]
    found = json.loads(aws("logs", "filter-log-events", "--log-group-name", group, "--log-stream-names", stream,
                           "--filter-pattern", '"from the job"'))
    assert [event["message"] for event in found["events"]] == ["from the job"]
    assert found["events"][0]["eventId"] and found["events"][0]["logStreamName"] == stream


def test_metrics_are_put_listed_and_read(aws):
    namespace = f"cli/{uuid.uuid4().hex}"
    aws("cloudwatch", "put-metric-data", "--namespace", namespace, "--metric-name", "m", "--value", "7", "--unit",
        "Count", "--dimensions", "host=a")
    listed = json.loads(aws("cloudwatch", "list-metrics", "--namespace", namespace, "--output", "json"))
    assert listed["Metrics"] == [
        {"Namespace": namespace, "MetricName": "m", "Dimensions": [{"Name": "host", "Value": "a"}]}]
    start, end = (f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() + shift))}" for shift in (-600, 600))
    reply = json.loads(aws(
        "cloudwatch", "get-metric-statistics", "--namespace", namespace, "--metric-name", "m", "--dimensions",
        "Name=host,Value=a", "--start-time", start, "--end-time", end, "--period", "60", "--statistics", "Sum",
        "--output", "json"))
    assert [(point["Sum"], point["Unit"]) for point in reply["Datapoints"]] == [(7.0, "Count")]
    assert "InvalidParameterValue" in aws(
        "cloudwatch", "put-metric-data", "--namespace", "AWS/Mine", "--metric-name", "m", "--value", "7", code=255)
