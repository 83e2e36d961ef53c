"""Endpoints with boto3: what comes into service, what fails and why, and what survives."""

import collections
import datetime
import json
import os
import signal
import threading
import time

import pytest
from botocore.exceptions import ClientError

from support.endpoints import Endpoints
from support.waiting import wait_until

HALF = {"instances": [1.0, 2.0, 5.0]}
HALVES = {"predictions": [2.5, 3.0, 4.5]}
THREES = {"predictions": [3.5, 4.0, 5.5]}


@pytest.fixture(scope="module")
def half(endpoints):
    return endpoints.model(endpoints.trained("half_plus_two"))


@pytest.fixture(scope="module")
def served(endpoints, half):
    """An endpoint that tests only ask."""
    return endpoints.create(half)


def refusal(call, *arguments, **fields):
    with pytest.raises(ClientError) as caught:
        call(*arguments, **fields)
    return caught.value.response


def test_invoke(endpoints, served):
    reply = endpoints.invoke(served, HALF, Accept="application/json", InferenceId="mine")
    assert json.loads(reply["Body"].read()) == HALVES
    assert reply["ContentType"] == "application/json"
    assert reply["InvokedProductionVariant"] == "AllTraffic"


def test_the_command_line_client(endpoints, served, aws, tmp_path):
    (tmp_path / "body.json").write_text(json.dumps(HALF))
    aws("sagemaker-runtime", "invoke-endpoint", "--endpoint-name", served, "--content-type", "application/json",
        "--body", f"file://{tmp_path}/body.json", str(tmp_path / "answer.json"))
    assert json.loads((tmp_path / "answer.json").read_text()) == HALVES
    aws("sagemaker", "wait", "endpoint-in-service", "--endpoint-name", served)


def test_describe_and_list(endpoints, served):
    description = endpoints.describe(served)
    assert description["EndpointArn"].endswith(f":endpoint/{served}")
    variant, = description["ProductionVariants"]
    assert variant["VariantName"] == "AllTraffic"
    assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (1, 1)
    assert (variant["CurrentWeight"], variant["DesiredWeight"]) == (1.0, 1.0)
    found = endpoints.sagemaker.list_endpoints(NameContains=served, StatusEquals="InService")["Endpoints"]
    assert [entry["EndpointName"] for entry in found] == [served]
    assert endpoints.sagemaker.list_endpoints(NameContains=served, StatusEquals="Failed")["Endpoints"] == []


def test_waiter_and_tags(endpoints, served):
    endpoints.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=served,
                                                               WaiterConfig={"Delay": 1, "MaxAttempts": 3})
    arn = endpoints.describe(served)["EndpointArn"]
    endpoints.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "team", "Value": "digits"}])
    assert endpoints.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "digits"}]
    endpoints.sagemaker.delete_tags(ResourceArn=arn, TagKeys=["team"])
    assert endpoints.sagemaker.list_tags(ResourceArn=arn)["Tags"] == []


def test_what_the_container_refuses_is_a_model_error(endpoints, served):
    response = refusal(endpoints.invoke, served, {"instances": "none"})
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert response["Error"]["Code"] == "ModelError"
    assert response["OriginalStatusCode"] == 400
    assert "error" in response["OriginalMessage"]
    assert response["Error"]["Message"].startswith("Received client error (400) from primary with message")
    assert f"/aws/sagemaker/Endpoints/{served}" in response["LogStreamArn"]


def test_bad_invocations(endpoints, served):
    response = refusal(endpoints.invoke, "no-such-endpoint", HALF)
    assert (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]) == ("ValidationError", 400)
    assert "no-such-endpoint" in response["Error"]["Message"]
    assert "no variant 'other'" in refusal(endpoints.invoke, served, HALF, TargetVariant="other")["Error"]["Message"]
    assert "TargetModel" in refusal(endpoints.invoke, served, HALF, TargetModel="x.tar.gz")["Error"]["Message"]
    large = refusal(endpoints.invoke, served, b" " * (6 * 1024 * 1024 + 1))
    assert "6291456" in large["Error"]["Message"]


def test_a_wrong_signature_is_refused(endpoints, served):
    stranger = endpoints.jobs.client("sagemaker-runtime", aws_secret_access_key="wrong")
    response = refusal(stranger.invoke_endpoint, EndpointName=served, Body=b"{}", ContentType="application/json")
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_logs(endpoints, served):
    group = f"/aws/sagemaker/Endpoints/{served}"
    logs = endpoints.jobs.logs
    streams = logs.describe_log_streams(logGroupName=group)["logStreams"]
    assert [stream["logStreamName"].split("/i-")[0] for stream in streams] == ["AllTraffic"]
    events = logs.get_log_events(logGroupName=group, logStreamName=streams[0]["logStreamName"])["events"]
    assert any("version_available" in event["message"] or "serving" in event["message"] for event in events), events


def test_metrics(endpoints, half):
    name = endpoints.create(half)
    for _ in range(5):
        endpoints.predict(name, HALF)
    refusal(endpoints.invoke, name, {"instances": "none"})
    cloudwatch = endpoints.jobs.client("cloudwatch")
    now = datetime.datetime.now(datetime.timezone.utc)

    def statistics(metric, space="AWS/SageMaker"):
        points = cloudwatch.get_metric_statistics(
            Namespace=space, MetricName=metric, Period=3600, Statistics=["Sum", "Average", "Maximum"],
            Dimensions=[{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": "AllTraffic"}],
            StartTime=now - datetime.timedelta(hours=1), EndTime=now + datetime.timedelta(hours=1))["Datapoints"]
        return points[0] if points else None

    wait_until(lambda: statistics("Invocations") and statistics("Invocations")["Sum"] == 6, 20, "six invocations")
    assert statistics("Invocation4XXErrors")["Sum"] == 1
    assert statistics("Invocation5XXErrors")["Sum"] == 0
    assert statistics("InvocationModelErrors")["Sum"] == 1
    latency, overhead = statistics("ModelLatency"), statistics("OverheadLatency")
    assert 0 < latency["Average"] < 10_000_000 and 0 < overhead["Average"] < 10_000_000  # microseconds
    memory = wait_until(lambda: statistics("MemoryUtilization", "/aws/sagemaker/Endpoints"), 30, "the memory used")
    assert 0 < memory["Maximum"] < 100


def test_variants_share_requests_by_weight(endpoints, half):
    three = endpoints.model(endpoints.trained("half_plus_three"))
    name = endpoints.create({"ModelName": half, "InitialVariantWeight": 0.7},
                            {"ModelName": three, "InitialVariantWeight": 0.3})
    counts = collections.Counter()
    for _ in range(10_000):
        reply = endpoints.invoke(name, HALF)
        counts[reply["InvokedProductionVariant"]] += 1
        expected = HALVES if reply["InvokedProductionVariant"] == "v0" else THREES
        assert json.loads(reply["Body"].read()) == expected
    assert abs(counts["v0"] - 7000) <= 10, counts
    assert endpoints.predict(name, HALF, TargetVariant="v1") == THREES
    endpoints.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=name, DesiredWeightsAndCapacities=[{"VariantName": "v0", "DesiredWeight": 0},
                                                        {"VariantName": "v1", "DesiredInstanceCount": 2}])
    variants = {entry["VariantName"]: entry for entry in endpoints.settled(name)["ProductionVariants"]}
    assert variants["v0"]["CurrentWeight"] == 0
    assert variants["v1"]["CurrentInstanceCount"] == 2
    assert {endpoints.invoke(name, HALF)["InvokedProductionVariant"] for _ in range(20)} == {"v1"}


def test_an_update_loses_no_request(endpoints, half):
    name = endpoints.create(half)
    three = endpoints.config(endpoints.model(endpoints.trained("half_plus_three")))
    answers, failures, stop = [], [], threading.Event()

    def ask():
        while not stop.is_set():
            try:
                answers.append(endpoints.predict(name, HALF))
            except ClientError as error:
                failures.append(error)

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    try:
        endpoints.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=three)
        assert endpoints.describe(name)["EndpointStatus"] == "Updating"
        description = endpoints.settled(name)
        assert description["EndpointConfigName"] == three
        wait_until(lambda: answers[-1] == THREES, 20, "the new model to answer")
    finally:
        stop.set()
        for asker in askers:
            asker.join()
    assert not failures, failures[0]
    assert all(answer in (HALVES, THREES) for answer in answers)
    wait_until(lambda: len(endpoints.instances(name)) == 1, 30, "the old instance to go")


def test_a_failed_update_goes_back(endpoints, half):
    name = endpoints.create(half)
    before = endpoints.describe(name)["EndpointConfigName"]
    broken = endpoints.config(endpoints.model(endpoints.artifact("broken", {"nothing.txt": "no model"})))
    endpoints.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=broken)
    description = endpoints.settled(name)
    assert (description["EndpointStatus"], description["EndpointConfigName"]) == ("InService", before)
    assert "could not be started" in description["FailureReason"]
    assert endpoints.predict(name, HALF) == HALVES


@pytest.mark.parametrize("reason", ["saved_model.pb", "no_such_module"])
def test_a_model_that_cannot_be_served_fails_with_its_last_words(endpoints, reason):
    if reason == "no_such_module":
        script = "import no_such_module\ndef handler(data, context): pass\n"
        data = endpoints.with_code("bad-code", endpoints.trained("half_plus_two"), script)
    else:
        data = endpoints.artifact("bad-model", {"nothing.txt": "no model"})
    name = endpoints.start(endpoints.config(endpoints.model(data)))
    description = endpoints.settled(name)
    assert description["EndpointStatus"] == "Failed"
    assert reason in description["FailureReason"], description["FailureReason"]
    endpoints.delete(name)
    endpoints.gone(name)


def test_data_that_is_not_there_fails_with_its_url(endpoints):
    url = f"s3://{endpoints.jobs.bucket}/no/model.tar.gz"
    name = endpoints.start(endpoints.config(endpoints.model(url)))
    description = endpoints.settled(name)
    assert description["EndpointStatus"] == "Failed"
    assert url in description["FailureReason"] and "does not exist" in description["FailureReason"]


def test_an_image_that_is_unknown_fails_with_its_name(endpoints):
    name = endpoints.start(endpoints.config(endpoints.model(image="example.com/mine:1")))
    description = endpoints.settled(name)
    assert description["EndpointStatus"] == "Failed"
    assert "mine:1" in description["FailureReason"]


def test_deletable_while_creating_and_the_config_while_it_serves(endpoints, half):
    config = endpoints.config(half)
    name = endpoints.start(config)
    endpoints.delete(name)
    endpoints.gone(name)
    name = endpoints.start(config)
    assert endpoints.settled(name)["EndpointStatus"] == "InService"
    endpoints.sagemaker.delete_endpoint_config(EndpointConfigName=config)
    assert endpoints.predict(name, HALF) == HALVES
    endpoints.delete(name)
    endpoints.gone(name)
    assert not endpoints.instances(name)


def test_deletable_while_updating(endpoints, half):
    name = endpoints.create(half)
    endpoints.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=endpoints.config(half))
    assert endpoints.describe(name)["EndpointStatus"] == "Updating"
    endpoints.delete(name)
    endpoints.gone(name)
    assert not endpoints.instances(name)


def test_updates_are_refused_while_one_is_in_progress(endpoints, half):
    config = endpoints.config(half)
    name = endpoints.start(config)
    response = refusal(endpoints.sagemaker.update_endpoint, EndpointName=name, EndpointConfigName=config)
    assert response["Error"]["Code"] == "ValidationException"
    endpoints.settled(name)
    response = refusal(endpoints.sagemaker.update_endpoint, EndpointName=name, EndpointConfigName=config,
                       DeploymentConfig={"RollingUpdatePolicy": {
                           "MaximumBatchSize": {"Type": "INSTANCE_COUNT", "Value": 1}, "WaitIntervalInSeconds": 0}})
    assert "DeploymentConfig" in response["Error"]["Message"]
    duplicate = refusal(endpoints.sagemaker.create_endpoint, EndpointName=name, EndpointConfigName=config)
    assert "Cannot create already existing" in duplicate["Error"]["Message"]


def test_an_instance_that_dies_is_replaced(endpoints, half):
    name = endpoints.create({"ModelName": half, "InitialInstanceCount": 2})
    victim = endpoints.agents(name)[0]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: len(endpoints.agents(name)) == 2 and victim not in endpoints.agents(name), 30,
               "the dead instance to be replaced")
    assert endpoints.describe(name)["EndpointStatus"] == "InService"
    assert [endpoints.predict(name, HALF) for _ in range(4)] == [HALVES] * 4


def test_a_killed_engine_finds_its_endpoints_serving(new_engine):
    jobs = new_engine()
    endpoints = Endpoints(jobs)
    name = endpoints.create(endpoints.model(endpoints.trained("half_plus_two")))
    agents = endpoints.agents(name)
    jobs.engine.kill()
    jobs.engine.start()
    began = time.monotonic()

    def answers():
        try:
            return endpoints.predict(name, HALF) == HALVES
        except ClientError:
            return False

    wait_until(answers, 10, "the endpoint to answer again")
    print(f"answered {time.monotonic() - began:.3f} s after the engine was ready")
    assert endpoints.agents(name) == agents  # the same instances, not new ones
    assert endpoints.describe(name)["EndpointStatus"] == "InService"
    endpoints.clean_up()
