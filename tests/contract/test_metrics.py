"""CloudWatch metrics with boto3 as it is, and as it was when it spoke the Query protocol; metrics of training jobs."""

import datetime
import gzip
import urllib.parse
import urllib.request
import uuid
import xml.etree.ElementTree

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from support.jobs import REGION, now
from support.waiting import wait_until

JOBS = "/aws/sagemaker/TrainingJobs"
MINUTE = datetime.timedelta(minutes=1)
# Two epochs; the last line holds two values of one metric.
TRAINING = """\
for epoch, (loss, accuracy) in enumerate([(4.0, 0.5), (2.0, 0.75)]):
    print(f"Epoch {epoch}: loss: {loss} - accuracy: {accuracy:.2f}%")
print("val_loss=1e-3;")
print("loss: 1.0 and again loss: 0.5", flush=True)
"""
DEFINITIONS = [{"Name": "train:loss", "Regex": "loss: ([0-9\\.]+)"}, {"Name": "val:loss", "Regex": "val_loss=(.*?);"},
               {"Name": "accuracy", "Regex": "accuracy: (\\S+)"}]  # the last one catches "0.50%", which is no number


def with_metrics(jobs, script, definitions=DEFINITIONS, **options):
    """The name of a job with metric definitions."""
    name = jobs.new_name()
    request = jobs.request(name, script, **options)
    request["AlgorithmSpecification"]["MetricDefinitions"] = definitions
    jobs.sagemaker.create_training_job(**request)
    jobs.names.append(name)
    return name


def final_metrics(description):
    return {entry["MetricName"]: entry["Value"] for entry in description.get("FinalMetricDataList", [])}


def statistics(cloudwatch, metric, dimensions, statistic="Average", namespace=JOBS, period=60):
    """{time: value} of the last hour and the next one."""
    reply = cloudwatch.get_metric_statistics(
        Namespace=namespace, MetricName=metric, StartTime=now() - 20 * MINUTE, EndTime=now() + MINUTE, Period=period,
        Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()], Statistics=[statistic])
    return {point["Timestamp"]: point[statistic] for point in reply["Datapoints"]}


@pytest.fixture(scope="module")
def cloudwatch(jobs):
    return jobs.client("cloudwatch")


@pytest.fixture
def namespace():
    return f"tests/{uuid.uuid4().hex}"


def test_what_is_put_is_found(cloudwatch, namespace):
    at = now().replace(second=10, microsecond=0)
    dimensions = [{"Name": "host", "Value": "a ☃"}]
    cloudwatch.put_metric_data(Namespace=namespace, MetricData=[
        {"MetricName": "m", "Dimensions": dimensions, "Timestamp": at, "Value": 1.5, "Unit": "Bytes"},
        {"MetricName": "m", "Dimensions": dimensions, "Timestamp": at, "Values": [2.5, 3.5], "Counts": [1, 2], "Unit": "Bytes"}])
    reply = cloudwatch.get_metric_statistics(
        Namespace=namespace, MetricName="m", Dimensions=dimensions, StartTime=at - MINUTE, EndTime=at + MINUTE, Period=60,
        Statistics=["Average", "Sum", "Minimum", "Maximum", "SampleCount"])
    assert reply["Label"] == "m"
    assert reply["Datapoints"] == [{"Timestamp": at.replace(second=0), "SampleCount": 4.0, "Average": 2.75, "Sum": 11.0,
                                    "Minimum": 1.5, "Maximum": 3.5, "Unit": "Bytes"}]
    reply = cloudwatch.get_metric_statistics(
        Namespace=namespace, MetricName="m", Dimensions=dimensions, StartTime=at - MINUTE, EndTime=at + MINUTE, Period=60,
        ExtendedStatistics=["p50"])
    assert reply["Datapoints"][0]["ExtendedStatistics"] == {"p50": 2.5}
    listed = cloudwatch.list_metrics(Namespace=namespace)["Metrics"]
    assert listed == [{"Namespace": namespace, "MetricName": "m", "Dimensions": dimensions}]


def test_a_large_request_comes_compressed(cloudwatch, namespace):
    cloudwatch.put_metric_data(Namespace=namespace, MetricData=[
        {"MetricName": f"metric-{number}", "Value": number, "StorageResolution": 1} for number in range(1000)])
    pages = cloudwatch.get_paginator("list_metrics").paginate(Namespace=namespace)
    counts = [len(page["Metrics"]) for page in pages]
    assert sum(counts) == 1000 and max(counts) == 500
    assert list(statistics(cloudwatch, "metric-7", {}, namespace=namespace, period=1).values()) == [7.0]


def test_metric_data_with_expressions_and_pages(cloudwatch, namespace):
    start = now().replace(second=0, microsecond=0) - 10 * MINUTE
    cloudwatch.put_metric_data(Namespace=namespace, MetricData=[
        {"MetricName": name, "Timestamp": start + minute * MINUTE, "Value": value * (minute + 1)}
        for minute in range(10) for name, value in (("errors", 1), ("calls", 4))])

    def query(name):
        metric = {"Namespace": namespace, "MetricName": name}
        return {"Id": name, "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}, "ReturnData": name == "calls"}

    pages = list(cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=[query("errors"), query("calls"), {"Id": "rate", "Expression": "100 * errors / calls"}],
        StartTime=start, EndTime=now(), ScanBy="TimestampAscending", PaginationConfig={"PageSize": 6}))
    assert len(pages) == 4
    values = {}
    for page in pages:
        for result in page["MetricDataResults"]:
            values.setdefault(result["Id"], []).extend(zip(result["Timestamps"], result["Values"]))
    assert values["rate"] == [(start + minute * MINUTE, 25.0) for minute in range(10)]
    assert [value for _, value in values["calls"]] == [4.0 * (minute + 1) for minute in range(10)]


@pytest.mark.parametrize("operation, request_, code, part", [
    ("put_metric_data", {"Namespace": "AWS/EC2", "MetricData": [{"MetricName": "m", "Value": 1}]},
     "InvalidParameterValue", "AWS/EC2"),
    ("put_metric_data", {"Namespace": "n", "MetricData": [{"MetricName": "m"}]}, "InvalidParameterCombination", "Value"),
    ("put_metric_data", {"Namespace": "n", "StrictEntityValidation": True, "MetricData": [{"MetricName": "m", "Value": 1}]},
     "InvalidParameterValue", "StrictEntityValidation"),
    ("list_metrics", {"NextToken": "nonsense"}, "InvalidNextToken", "NextToken"),
    ("list_metrics", {"OwningAccount": "123456789012"}, "InvalidParameterValue", "OwningAccount"),
    ("get_metric_data", {"StartTime": 0, "EndTime": 60, "MetricDataQueries": [
        {"Id": "e", "Expression": "SEARCH('{n} m', 'Sum')"}]}, "InvalidParameterValue", "SEARCH"),
    ("get_metric_statistics", {"Namespace": "n", "MetricName": "m", "StartTime": 0, "EndTime": 60, "Period": 61,
                               "Statistics": ["Sum"]}, "InvalidParameterValue", "Period")])
def test_mistakes_have_the_hosted_codes(cloudwatch, operation, request_, code, part):
    with pytest.raises(ClientError) as failure:
        getattr(cloudwatch, operation)(**request_)
    assert failure.value.response["Error"]["Code"] == code
    assert part in failure.value.response["Error"]["Message"]
    assert failure.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_older_clients_speak_the_query_protocol(engine, cloudwatch, namespace):
    """As botocore did until 2025, with a body that it compressed."""
    variables = engine.environment()
    credentials = Credentials(variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"])

    def call(action, **fields):
        form = urllib.parse.urlencode({"Action": action, "Version": "2010-08-01", "Namespace": namespace, **fields})
        request = AWSRequest("POST", engine.endpoint + "/", data=gzip.compress(form.encode()), headers={
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8", "Content-Encoding": "gzip"})
        SigV4Auth(credentials, "monitoring", REGION).add_auth(request)
        sent = urllib.request.Request(request.url, request.data, dict(request.headers))
        return xml.etree.ElementTree.fromstring(urllib.request.urlopen(sent, timeout=60).read())

    at = now().replace(second=30, microsecond=0)
    iso = [(at + shift).isoformat().replace("+00:00", "Z") for shift in (-MINUTE, 0 * MINUTE, MINUTE)]
    call("PutMetricData", **{"MetricData.member.1.MetricName": "old", "MetricData.member.1.Value": "12.5",
                             "MetricData.member.1.Timestamp": iso[1]})
    assert list(statistics(cloudwatch, "old", {}, namespace=namespace).values()) == [12.5]
    reply = call("GetMetricStatistics", MetricName="old", StartTime=iso[0], EndTime=iso[2], Period=60,
                 **{"Statistics.member.1": "Maximum"})
    assert [element.text for element in reply.iter() if element.tag.endswith("}Maximum")] == ["12.5"]


def test_a_jobs_metrics_are_complete_when_it_is_seen_to_have_ended(jobs, cloudwatch):
    description = jobs.wait(with_metrics(jobs, TRAINING))
    assert description["TrainingJobStatus"] == "Completed", description.get("FailureReason")
    assert final_metrics(description) == {"train:loss": 0.5, "val:loss": 0.001}
    name = description["TrainingJobName"]
    assert sum(statistics(cloudwatch, "train:loss", {"TrainingJobName": name}, "Sum").values()) == 7.5
    assert sum(statistics(cloudwatch, "train:loss", {"TrainingJobName": name}, "SampleCount", period=1).values()) == 4
    assert statistics(cloudwatch, "accuracy", {"TrainingJobName": name}) == {}
    times = {entry["Timestamp"] for entry in description["FinalMetricDataList"]}
    assert all(description["TrainingStartTime"] <= time <= description["TrainingEndTime"] for time in times)


def test_the_last_values_show_while_the_job_runs(jobs):
    name = with_metrics(jobs, "import time\nprint('loss: 3', flush=True)\nwhile True: time.sleep(0.1)\n")
    wait_until(lambda: final_metrics(jobs.describe(name)) == {"train:loss": 3.0}, 60, "the first value")
    assert jobs.describe(name)["TrainingJobStatus"] == "InProgress"
    jobs.sagemaker.stop_training_job(TrainingJobName=name)
    assert final_metrics(jobs.wait(name)) == {"train:loss": 3.0}


def test_every_host_adds_to_one_metric(jobs, cloudwatch):
    script = "import os\nprint('loss:', {'algo-1': 1, 'algo-2': 10}[os.environ['SM_CURRENT_HOST']])\n"
    name = jobs.wait(with_metrics(jobs, script, instances=2))["TrainingJobName"]
    assert sum(statistics(cloudwatch, "train:loss", {"TrainingJobName": name}, "Sum").values()) == 11


@pytest.mark.parametrize("regex", ["(?<=loss: )[0-9.]+", "(a)\\1", "("])
def test_an_expression_that_cannot_be_matched_is_refused(jobs, regex):
    with pytest.raises(ClientError) as failure:
        with_metrics(jobs, "", [{"Name": "bad:one", "Regex": regex}])
    assert failure.value.response["Error"]["Code"] == "ValidationException"
    assert "'bad:one'" in failure.value.response["Error"]["Message"]


def test_a_catastrophic_expression_holds_nothing_up(jobs):
    name = with_metrics(jobs, "for _ in range(20): print('a' * 50_000 + '!')\nprint('loss: 1')",
                        DEFINITIONS + [{"Name": "slow", "Regex": "^(a+)+$"}])
    assert final_metrics(jobs.wait(name)) == {"train:loss": 1.0}


def test_instances_tell_what_they_use(jobs, cloudwatch):
    """One processor is kept busy, and some memory and disk taken, until all three are told."""
    name = jobs.submit("import time\nballast = bytearray(b'x' * (400 << 20))\n"
                       "open('/opt/ml/model/ballast', 'wb').write(bytearray(b'x' * (60 << 20)))\n"
                       "end = time.time() + 120\nwhile time.time() < end: pass\n")
    host = {"Host": f"{name}/algo-1"}

    def told():
        found = {metric: statistics(cloudwatch, metric, host, "Maximum")
                 for metric in ("CPUUtilization", "MemoryUtilization", "DiskUtilization")}
        found = {metric: max(values.values()) for metric, values in found.items() if values}
        enough = found.get("CPUUtilization", 0) > 20 and found.get("MemoryUtilization", 0) > 4.5
        return found if enough and found.get("DiskUtilization", 0) > 0.19 else None

    found = wait_until(told, 60, "the metrics of the instance")
    jobs.sagemaker.stop_training_job(TrainingJobName=name)
    assert found["CPUUtilization"] < 250 and found["MemoryUtilization"] < 20 and found["DiskUtilization"] < 5, found
    reply = cloudwatch.list_metrics(Namespace=JOBS, Dimensions=[{"Name": "Host", "Value": host["Host"]}])
    assert len(reply["Metrics"]) == 3
    jobs.wait(name)


def test_metrics_are_counted_once_though_the_engine_is_killed(new_engine):
    script = "import time\nfor n in range(100):\n    print('loss:', n, flush=True)\n    time.sleep(0.03)\n"
    jobs = new_engine()
    name = with_metrics(jobs, script)
    for number in (10, 40, 70):
        jobs.wait_for_line(name, f"loss: {number}")
        jobs.engine.kill()
        jobs.engine.start()
    description = jobs.wait(name, 90)
    assert final_metrics(description) == {"train:loss": 99.0}
    cloudwatch = jobs.client("cloudwatch")
    for statistic, expected in (("SampleCount", 100), ("Sum", 4950)):
        assert sum(statistics(cloudwatch, "train:loss", {"TrainingJobName": name}, statistic).values()) == expected
    jobs.engine.kill()
    jobs.engine.start()
    assert final_metrics(jobs.describe(name)) == {"train:loss": 99.0}
    assert sum(statistics(cloudwatch, "train:loss", {"TrainingJobName": name}, "SampleCount").values()) == 100


def test_the_sdks_analytics(sdk_environment, tmp_path):
    """fit() of the unmodified SDK with metric_definitions, then estimator.training_job_analytics.dataframe()."""
    import sagemaker
    from sagemaker import tensorflow
    from sagemaker.analytics import TrainingJobAnalytics

    (tmp_path / "train.py").write_text(TRAINING)
    made = tensorflow.TensorFlow(
        entry_point="train.py", source_dir=str(tmp_path), role="SageMakerRole", instance_count=1,
        instance_type="ml.m5.large", framework_version="2.19", py_version="py312", base_job_name="analytics",
        sagemaker_session=sagemaker.Session(), metric_definitions=DEFINITIONS)
    made.fit(wait=False)
    name = made.latest_training_job.name
    sdk_environment.names.append(name)
    sdk_environment.wait(name)
    frame = made.training_job_analytics.dataframe()
    loss = frame[frame.metric_name == "train:loss"].value
    # One point for each minute; all values are of one moment, which may lie at a minute's border.
    assert list(loss) == [1.875] or len(loss) == 2
    assert list(frame[frame.metric_name == "val:loss"].value) == [0.001]
    assert "accuracy" not in set(frame.metric_name)
    fine = TrainingJobAnalytics(name, metric_names=["train:loss"], period=300).dataframe()
    assert list(fine.value) == [1.875] and list(fine.timestamp) == [0.0]
