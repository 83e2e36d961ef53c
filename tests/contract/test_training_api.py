"""The training job operations: validation in the hosted words, listing, tags, duplicates, retries, stopping."""

import datetime
import uuid

import pytest
from botocore.exceptions import ClientError

from support.jobs import IMAGE, ROLE, assert_legal_transitions, now, secondary_statuses


def error_of(call, **request):
    with pytest.raises(ClientError) as failure:
        call(**request)
    error = failure.value.response["Error"]
    return error["Code"], error["Message"]


def test_a_job_goes_through_the_hosted_statuses(jobs):
    description = jobs.completed()
    assert_legal_transitions(description)
    statuses = secondary_statuses(description)
    assert statuses[0] == "Starting" and statuses[-1] == "Completed"
    assert [status for status in statuses if status in ("Downloading", "Training", "Uploading")] == [
        "Downloading", "Training", "Uploading"]
    assert description["CreationTime"] <= description["TrainingStartTime"] <= description["TrainingEndTime"]
    assert description["TrainingTimeInSeconds"] >= 0 and description["BillableTimeInSeconds"] >= 0


def test_describe_returns_the_request_as_it_was(jobs):
    """attach() reads the image and the hyperparameters back: they must be what was sent, byte for byte."""
    name = jobs.new_name()
    request = jobs.request(name, hyperparameters={"text": "ä \" \\ ☃", "number": 0.1, "list": [1, {"a": None}]})
    jobs.names.append(name)
    reply = jobs.sagemaker.create_training_job(**request)
    assert reply["TrainingJobArn"].endswith(f":training-job/{name}")
    description = jobs.wait(name)
    for field in ("TrainingJobName", "RoleArn", "HyperParameters", "ResourceConfig", "StoppingCondition"):
        assert description[field] == request[field], field
    assert description["AlgorithmSpecification"]["TrainingImage"] == IMAGE
    assert description["OutputDataConfig"] == {"KmsKeyId": "", **request["OutputDataConfig"]} or (
        description["OutputDataConfig"]["KmsKeyId"] == "" and
        description["OutputDataConfig"]["S3OutputPath"] == request["OutputDataConfig"]["S3OutputPath"])


def test_every_violation_is_reported_at_once_in_the_hosted_words(jobs):
    client = jobs.client("sagemaker")
    code, message = error_of(
        client.create_training_job, TrainingJobName="-bad name-", RoleArn="not an arn at all, but long enough",
        AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "Sideways"},
        OutputDataConfig={"S3OutputPath": "nowhere"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
        StoppingCondition={"MaxRuntimeInSeconds": 60})
    assert code == "ValidationException"
    assert message.startswith("4 validation errors detected: ")
    for part in ("'-bad name-' at 'trainingJobName' failed to satisfy constraint: Member must satisfy regular expression pattern",
                 "at 'roleArn' failed to satisfy constraint: Member must satisfy regular expression pattern",
                 "'Sideways' at 'algorithmSpecification.trainingInputMode' failed to satisfy constraint: "
                 "Member must satisfy enum value set: [",
                 "'nowhere' at 'outputDataConfig.s3OutputPath' failed to satisfy constraint"):
        assert part in message, message


def test_an_unsupported_field_is_refused_by_name(jobs):
    """Nothing that was asked for is silently left out."""
    name = jobs.new_name()
    code, message = error_of(jobs.sagemaker.create_training_job, **jobs.request(
        name, ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30,
                              "TrainingPlanArn": "arn:aws:sagemaker:us-west-2:000000000000:training-plan/p"}))
    assert code == "ValidationException" and "TrainingPlanArn" in message
    assert error_of(jobs.describe, name=name)[0] == "ValidationException"


def test_pipe_mode_is_honoured_or_refused_by_name(jobs):
    """Until it exists, a channel in Pipe mode must not quietly become File mode."""
    uri = jobs.put("pipe/data", b"x")
    code, message = error_of(jobs.sagemaker.create_training_job, **jobs.request(
        jobs.new_name(), channels={"train": uri},
        AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "Pipe"}))
    assert code == "ValidationException" and ("Pipe" in message or "TrainingInputMode" in message)


def test_a_second_job_of_the_same_name_is_refused(jobs):
    name = jobs.completed()["TrainingJobName"]
    code, message = error_of(jobs.sagemaker.create_training_job, **jobs.request(name))
    assert code == "ResourceInUse" and name in message


def test_a_clients_retry_of_a_create_is_answered_as_the_first(jobs):
    """The SDKs resend under one amz-sdk-invocation-id when a reply was lost."""
    client = jobs.client("sagemaker")
    fixed = str(uuid.uuid4())

    def same_invocation(request, **_):  # this header is not among the signed ones
        request.headers["amz-sdk-invocation-id"] = fixed

    client.meta.events.register("before-send.sagemaker.CreateTrainingJob", same_invocation)
    request = jobs.request(jobs.new_name())
    jobs.names.append(request["TrainingJobName"])
    first = client.create_training_job(**request)
    assert client.create_training_job(**request)["TrainingJobArn"] == first["TrainingJobArn"]
    jobs.wait(request["TrainingJobName"])


def test_unknown_jobs(jobs):
    for call in (jobs.sagemaker.describe_training_job, jobs.sagemaker.stop_training_job):
        assert error_of(call, TrainingJobName="no-such-job") == ("ValidationException", "Requested resource not found.")


def test_stopping_a_finished_job_is_refused(jobs):
    name = jobs.completed()["TrainingJobName"]
    code, message = error_of(jobs.sagemaker.stop_training_job, TrainingJobName=name)
    assert code == "ValidationException" and name in message or "Completed" in message


def test_stopping_twice_is_no_error(jobs):
    name = jobs.submit("""\
import signal, time, sys
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), sys.exit(0)))
print("started", flush=True)
while True: time.sleep(0.05)
""")
    jobs.wait_for_line(name, "started")
    jobs.sagemaker.stop_training_job(TrainingJobName=name)
    assert jobs.describe(name)["TrainingJobStatus"] == "Stopping"
    jobs.sagemaker.stop_training_job(TrainingJobName=name)
    assert jobs.wait(name)["TrainingJobStatus"] == "Stopped"


def test_a_job_stopped_at_once_ends_stopped(jobs):
    name = jobs.submit("import time\nwhile True: time.sleep(0.05)\n")
    jobs.sagemaker.stop_training_job(TrainingJobName=name)
    description = jobs.wait(name)
    assert description["TrainingJobStatus"] == "Stopped"
    assert_legal_transitions(description)


@pytest.fixture(scope="module")
def listed(jobs):
    """Five finished jobs under a common part of their names, in order of creation; the last one failed."""
    part = f"listed-{uuid.uuid4().hex[:8]}"
    names = [f"{part}-{letter}" for letter in "cabed"]
    begin = now()
    for name in names:
        jobs.run("raise SystemExit(1)" if name == names[-1] else "", name=name)
    return part, names, begin


def list_names(jobs, **request):
    return [entry["TrainingJobName"] for entry in jobs.sagemaker.list_training_jobs(**request)["TrainingJobSummaries"]]


def test_listing_sorts_by_creation_newest_first_unless_told(jobs, listed):
    part, names, _ = listed
    assert list_names(jobs, NameContains=part) == names[::-1]
    assert list_names(jobs, NameContains=part, SortOrder="Ascending") == names
    assert list_names(jobs, NameContains=part, SortBy="Name", SortOrder="Ascending") == sorted(names)
    assert list_names(jobs, NameContains=part, SortBy="Status", SortOrder="Ascending")[-1] == names[-1]


def test_listing_filters_by_status_and_time(jobs, listed):
    part, names, begin = listed
    assert list_names(jobs, NameContains=part, StatusEquals="Failed") == [names[-1]]
    assert len(list_names(jobs, NameContains=part, StatusEquals="Completed")) == 4
    assert list_names(jobs, NameContains=part, CreationTimeBefore=begin - datetime.timedelta(hours=1)) == []
    assert len(list_names(jobs, NameContains=part, CreationTimeAfter=begin - datetime.timedelta(hours=1))) == 5
    assert list_names(jobs, NameContains=part + "-zz") == []


@pytest.mark.parametrize("sort", ["CreationTime", "Name", "Status"])
def test_listing_pages_hold_every_job_once(jobs, listed, sort):
    part, names, _ = listed
    pages = jobs.sagemaker.get_paginator("list_training_jobs").paginate(
        NameContains=part, SortBy=sort, PaginationConfig={"PageSize": 2})
    sizes_and_names = [[entry["TrainingJobName"] for entry in page["TrainingJobSummaries"]] for page in pages]
    assert [len(page) for page in sizes_and_names] == [2, 2, 1]
    assert sorted(name for page in sizes_and_names for name in page) == sorted(names)


def test_a_foreign_page_token_is_refused(jobs):
    assert error_of(jobs.sagemaker.list_training_jobs, NextToken="made-up")[0] == "ValidationException"


def test_tags(jobs):
    name = jobs.submit(Tags=[{"Key": "team", "Value": "one"}, {"Key": "empty", "Value": ""}])
    arn = jobs.wait(name)["TrainingJobArn"]
    assert sorted((tag["Key"], tag["Value"]) for tag in jobs.sagemaker.list_tags(ResourceArn=arn)["Tags"]) == [
        ("empty", ""), ("team", "one")]
    jobs.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "team", "Value": "two"}, {"Key": "more", "Value": "x"}])
    assert sorted((tag["Key"], tag["Value"]) for tag in jobs.sagemaker.list_tags(ResourceArn=arn)["Tags"]) == [
        ("empty", ""), ("more", "x"), ("team", "two")]
    assert jobs.sagemaker.list_tags(ResourceArn=jobs.completed()["TrainingJobArn"])["Tags"] == []


def test_caller_identity_and_role(jobs):
    identity = jobs.client("sts").get_caller_identity()
    assert len(identity["Account"]) == 12 and identity["Arn"].startswith("arn:aws:") and identity["UserId"]
    role = jobs.client("iam").get_role(RoleName="Any-Name")["Role"]
    assert role["Arn"] == f"arn:aws:iam::{identity['Account']}:role/Any-Name" and role["RoleName"] == "Any-Name"


def test_metric_definitions_and_profiler_fields_of_the_sdk_are_accepted(jobs):
    name = jobs.new_name()
    description = jobs.completed(
        name=name, ProfilerConfig={"DisableProfiler": True}, EnableManagedSpotTraining=False,
        DebugHookConfig={"S3OutputPath": f"s3://{jobs.bucket}/debug", "CollectionConfigurations": []},
        AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File", "MetricDefinitions": [
            {"Name": "loss", "Regex": "loss=([0-9.]+)"}], "EnableSageMakerMetricsTimeSeries": True}, RoleArn=ROLE)
    assert [metric["Name"] for metric in description["AlgorithmSpecification"]["MetricDefinitions"]] == ["loss"]


def test_twelve_jobs_at_once_all_complete(jobs):
    """More than there are cores: some wait as Pending; none fails for want of room."""
    names = [jobs.submit("print('one of many')") for _ in range(12)]
    for name in names:
        assert jobs.wait(name, 120)["TrainingJobStatus"] == "Completed"
        assert jobs.lines(name).count("one of many") == 1
