"""Models and endpoint configurations: create, describe, list, delete, tags, repeated calls, and what is refused."""

import json
import uuid

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from support.jobs import ROLE

IMAGE = "763104351884.dkr.ecr.us-west-2.amazonaws.com/tensorflow-inference:2.19-cpu"
CONTAINER = {"Image": IMAGE, "ModelDataUrl": "s3://bucket/job/output/model.tar.gz",
             "Environment": {"SAGEMAKER_TFS_NGINX_LOGLEVEL": "info"}}
ARCHIVE = {"S3Uri": "s3://bucket/model.tar.gz", "S3DataType": "S3Object", "CompressionType": "Gzip"}


def refusal_of(call, **request):
    with pytest.raises(ClientError) as failure:
        call(**request)
    error = failure.value.response["Error"]
    assert error["Code"] == "ValidationException"
    return error["Message"]


@pytest.fixture
def sagemaker(jobs):
    return jobs.client("sagemaker")


@pytest.fixture
def unchecked(jobs):
    """A client that sends what botocore itself would refuse."""
    return jobs.client("sagemaker", config=Config(parameter_validation=False, proxies={}))


@pytest.fixture
def prefix():
    return f"m-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def new_model(sagemaker, prefix):
    """Creates models, and deletes those that are still there."""
    names = []

    def make(suffix="", **fields):
        names.append(prefix + suffix)
        request = {"PrimaryContainer": CONTAINER, "ExecutionRoleArn": ROLE, **fields}
        return sagemaker.create_model(ModelName=names[-1], **request)["ModelArn"]

    yield make
    left = {model["ModelName"] for page in sagemaker.get_paginator("list_models").paginate(NameContains=prefix)
            for model in page["Models"]}
    for name in left & set(names):
        sagemaker.delete_model(ModelName=name)


def variant(model, name="AllTraffic", **fields):
    return {"VariantName": name, "ModelName": model, "InitialInstanceCount": 1, "InstanceType": "ml.c5.xlarge",
            "InitialVariantWeight": 1.0, **fields}


def test_a_model_is_described_as_it_was_created(sagemaker, new_model, prefix):
    vpc = {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}
    arn = new_model(EnableNetworkIsolation=True, VpcConfig=vpc)
    assert arn.endswith(f":model/{prefix}")
    description = sagemaker.describe_model(ModelName=prefix)
    assert description["ModelArn"] == arn and description["ModelName"] == prefix
    assert description["PrimaryContainer"] == {**CONTAINER, "Mode": "SingleModel"}
    assert description["ExecutionRoleArn"] == ROLE
    assert description["EnableNetworkIsolation"] is True and description["VpcConfig"] == vpc
    sagemaker.delete_model(ModelName=prefix)
    message = f'Could not find model "{arn}".'
    assert refusal_of(sagemaker.describe_model, ModelName=prefix) == message
    assert refusal_of(sagemaker.delete_model, ModelName=prefix) == message


def test_a_name_is_taken_once(sagemaker, new_model, prefix):
    """The SDK goes on with a model that exists: it looks for these words."""
    arn = new_model()
    assert refusal_of(new_model) == f'Cannot create already existing model "{arn}".'
    config = {"EndpointConfigName": prefix, "ProductionVariants": [variant(prefix)]}
    config_arn = sagemaker.create_endpoint_config(**config)["EndpointConfigArn"]
    assert (refusal_of(sagemaker.create_endpoint_config, **config)
            == f'Cannot create already existing endpoint configuration "{config_arn}".')
    sagemaker.delete_endpoint_config(EndpointConfigName=prefix)
    assert sagemaker.create_endpoint_config(**config)["EndpointConfigArn"] == config_arn
    sagemaker.delete_endpoint_config(EndpointConfigName=prefix)


def test_a_call_that_is_sent_again_creates_nothing_twice(jobs, prefix):
    """A client whose reply got lost sends the same call again, with the same invocation id."""
    client = jobs.client("sagemaker")
    invocation = str(uuid.uuid4())

    def same_call(request, **_):  # this header is not among the signed ones
        request.headers["amz-sdk-invocation-id"] = invocation

    client.meta.events.register("before-send.sagemaker.CreateModel", same_call)
    client.meta.events.register("before-send.sagemaker.CreateEndpointConfig", same_call)
    model = {"ModelName": prefix, "PrimaryContainer": CONTAINER}
    assert client.create_model(**model)["ModelArn"] == client.create_model(**model)["ModelArn"]
    config = {"EndpointConfigName": prefix, "ProductionVariants": [variant(prefix)]}
    assert (client.create_endpoint_config(**config)["EndpointConfigArn"]
            == client.create_endpoint_config(**config)["EndpointConfigArn"])
    invocation = str(uuid.uuid4())
    assert "already existing model" in refusal_of(client.create_model, **model)
    assert "already existing endpoint configuration" in refusal_of(client.create_endpoint_config, **config)
    client.delete_endpoint_config(EndpointConfigName=prefix)
    client.delete_model(ModelName=prefix)


def test_lists_are_filtered_sorted_and_paged(sagemaker, unchecked, new_model, prefix):
    names = [prefix + suffix for suffix in ("-c", "-a", "-b")]
    for name in names:
        new_model(name.removeprefix(prefix))
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant(name)])
    for operation, key, name_key in (("list_models", "Models", "ModelName"),
                                     ("list_endpoint_configs", "EndpointConfigs", "EndpointConfigName")):
        def listed(page_size=None, **request):
            pages = sagemaker.get_paginator(operation).paginate(
                NameContains=prefix, PaginationConfig={"PageSize": page_size}, **request)
            return [item[name_key] for page in pages for item in page[key]]

        call = getattr(sagemaker, operation)
        assert listed() == names[::-1]  # the newest first
        assert listed(SortOrder="Ascending") == names
        assert listed(SortBy="Name", SortOrder="Ascending") == sorted(names)
        assert listed(SortBy="Name", SortOrder="Descending", page_size=1) == sorted(names, reverse=True)
        assert listed(page_size=2) == names[::-1]
        created = {item[name_key]: item["CreationTime"] for item in call(NameContains=prefix)[key]}[names[1]]
        assert names[1] not in listed(CreationTimeAfter=created) + listed(CreationTimeBefore=created)
        assert names[0] not in listed(CreationTimeAfter=created)
        assert names[2] not in listed(CreationTimeBefore=created)
        assert call(NameContains=prefix + "-none")[key] == []
        assert "NextToken" in refusal_of(call, NextToken="bm9uZQ==")
        assert "maxResults" in refusal_of(getattr(unchecked, operation), MaxResults=101)
    for name in names:
        sagemaker.delete_endpoint_config(EndpointConfigName=name)


def test_an_endpoint_configuration_is_described_as_it_was_created(sagemaker, new_model, prefix):
    new_model()
    variants = [variant(prefix, VolumeSizeInGB=30, ModelDataDownloadTimeoutInSeconds=600,
                        ContainerStartupHealthCheckTimeoutInSeconds=120,
                        RoutingConfig={"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"}),
                variant(prefix, "b", InitialVariantWeight=0.0)]
    capture = {"EnableCapture": False, "InitialSamplingPercentage": 10, "DestinationS3Uri": "s3://bucket/capture",
               "CaptureOptions": [{"CaptureMode": "Input"}]}
    arn = sagemaker.create_endpoint_config(EndpointConfigName=prefix, ProductionVariants=variants,
                                           DataCaptureConfig=capture, KmsKeyId="key")["EndpointConfigArn"]
    assert arn.endswith(f":endpoint-config/{prefix}")
    description = sagemaker.describe_endpoint_config(EndpointConfigName=prefix)
    assert description["EndpointConfigArn"] == arn and description["EndpointConfigName"] == prefix
    assert description["ProductionVariants"] == variants
    assert description["DataCaptureConfig"] == capture and description["KmsKeyId"] == "key"
    sagemaker.delete_endpoint_config(EndpointConfigName=prefix)
    message = f'Could not find endpoint configuration "{arn}".'
    assert refusal_of(sagemaker.describe_endpoint_config, EndpointConfigName=prefix) == message
    assert refusal_of(sagemaker.delete_endpoint_config, EndpointConfigName=prefix) == message


def test_tags_come_with_the_resource_and_go_with_it(sagemaker, new_model, prefix):
    tags = [{"Key": "team", "Value": "a"}, {"Key": "cost", "Value": "1"}]
    model_arn = new_model(Tags=tags)
    config = {"EndpointConfigName": prefix, "ProductionVariants": [variant(prefix)]}
    config_arn = sagemaker.create_endpoint_config(**config, Tags=tags)["EndpointConfigArn"]
    for arn in (model_arn, config_arn):
        assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == tags
        sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "team", "Value": "b"}])
        sagemaker.delete_tags(ResourceArn=arn, TagKeys=["cost"])
        assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "b"}]
    sagemaker.delete_model(ModelName=prefix)
    sagemaker.delete_endpoint_config(EndpointConfigName=prefix)
    assert refusal_of(sagemaker.list_tags, ResourceArn=model_arn) == f'Could not find model "{model_arn}".'
    assert "Could not find endpoint configuration" in refusal_of(sagemaker.list_tags, ResourceArn=config_arn)
    new_model()
    sagemaker.create_endpoint_config(**config)
    for arn in (model_arn, config_arn):
        assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == []
    sagemaker.delete_endpoint_config(EndpointConfigName=prefix)


@pytest.mark.parametrize("field, container", [
    ("PrimaryContainer.ModelPackageName", {"ModelPackageName": "package"}),
    ("PrimaryContainer.InferenceSpecificationName", {**CONTAINER, "InferenceSpecificationName": "name"}),
    ("PrimaryContainer.ImageConfig", {**CONTAINER, "ImageConfig": {"RepositoryAccessMode": "Vpc"}}),
    ("PrimaryContainer.Mode MultiModel", {**CONTAINER, "Mode": "MultiModel"}),
    ("PrimaryContainer.MultiModelConfig", {**CONTAINER, "MultiModelConfig": {"ModelCacheSetting": "Enabled"}}),
    ("PrimaryContainer.AdditionalModelDataSources",
     {**CONTAINER, "AdditionalModelDataSources": [{"ChannelName": "draft", "S3DataSource": ARCHIVE}]}),
    ("PrimaryContainer.Image", {"ModelDataUrl": "s3://bucket/model.tar.gz"}),
    ("PrimaryContainer.ModelDataUrl", {**CONTAINER, "ModelDataUrl": "https://bucket/model.tar.gz"}),
    ("PrimaryContainer has both", {**CONTAINER, "ModelDataSource": {"S3DataSource": ARCHIVE}}),
    ("PrimaryContainer.ModelDataSource.S3DataSource.CompressionType None",
     {"Image": IMAGE, "ModelDataSource": {"S3DataSource": {
         "S3Uri": "s3://bucket/model/", "S3DataType": "S3Prefix", "CompressionType": "None"}}}),
    ("PrimaryContainer.ModelDataSource.S3DataSource.ModelAccessConfig",
     {"Image": IMAGE, "ModelDataSource": {"S3DataSource": {**ARCHIVE, "ModelAccessConfig": {"AcceptEula": True}}}}),
])
def test_what_a_container_cannot_be_is_refused_by_name(new_model, field, container):
    assert refusal_of(new_model, PrimaryContainer=container).startswith(field)


def test_pipelines_are_refused_and_one_container_is_none(sagemaker, new_model, prefix):
    request = {"ModelName": prefix, "ExecutionRoleArn": ROLE}
    assert refusal_of(sagemaker.create_model, **request).startswith("PrimaryContainer is required")
    assert refusal_of(sagemaker.create_model, **request,
                      Containers=[CONTAINER, CONTAINER]).startswith("Containers with 2")
    assert refusal_of(new_model, InferenceExecutionConfig={"Mode": "Serial"}).startswith("InferenceExecutionConfig")
    sagemaker.create_model(**request, Containers=[CONTAINER])
    assert sagemaker.describe_model(ModelName=prefix)["Containers"] == [{**CONTAINER, "Mode": "SingleModel"}]
    sagemaker.delete_model(ModelName=prefix)


@pytest.mark.parametrize("field, fields", [
    ("ServerlessConfig", {"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}),
    ("AcceleratorType", {"AcceleratorType": "ml.eia2.medium"}),
    ("CoreDumpConfig", {"CoreDumpConfig": {"DestinationS3Uri": "s3://bucket/dumps"}}),
    ("EnableSSMAccess", {"EnableSSMAccess": True}),
    ("ManagedInstanceScaling", {"ManagedInstanceScaling": {"Status": "ENABLED", "MaxInstanceCount": 2}}),
    ("RoutingConfig.RoutingStrategy RANDOM", {"RoutingConfig": {"RoutingStrategy": "RANDOM"}}),
    ("InstanceType: ml.g5.xlarge stands for 1 GPU", {"InstanceType": "ml.g5.xlarge"}),
    ("InstanceType: instance type 'ml.inf1.xlarge'", {"InstanceType": "ml.inf1.xlarge"}),
])
def test_what_a_variant_cannot_be_is_refused_by_name(sagemaker, new_model, prefix, field, fields):
    new_model()
    message = refusal_of(sagemaker.create_endpoint_config, EndpointConfigName=prefix,
                         ProductionVariants=[variant(prefix, **fields)])
    assert message.startswith("ProductionVariants.1.member." + field)


@pytest.mark.parametrize("field, fields", [
    ("AsyncInferenceConfig", {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://bucket/out"}}}),
    ("DataCaptureConfig.EnableCapture", {"DataCaptureConfig": {
        "InitialSamplingPercentage": 10, "DestinationS3Uri": "s3://bucket/capture",
        "CaptureOptions": [{"CaptureMode": "Input"}]}}),
    ("ExplainerConfig", {"ExplainerConfig": {
        "ClarifyExplainerConfig": {"ShapConfig": {"ShapBaselineConfig": {"ShapBaseline": "1"}}}}}),
    ("EnableNetworkIsolation", {"EnableNetworkIsolation": True}),
])
def test_what_a_configuration_cannot_be_is_refused_by_name(sagemaker, new_model, prefix, field, fields):
    new_model()
    message = refusal_of(sagemaker.create_endpoint_config, EndpointConfigName=prefix,
                         ProductionVariants=[variant(prefix)], **fields)
    assert message.startswith(field)


def test_variants_fit_together(sagemaker, unchecked, new_model, prefix):
    arn = new_model()
    request = {"EndpointConfigName": prefix}
    create = sagemaker.create_endpoint_config
    assert refusal_of(create, **request, ProductionVariants=[variant(prefix)],
                      ShadowProductionVariants=[variant(prefix, "s")]).startswith("ShadowProductionVariants")
    assert "'AllTraffic' twice" in refusal_of(create, **request, ProductionVariants=[variant(prefix), variant(prefix)])
    assert "InitialVariantWeight is 0" in refusal_of(
        create, **request, ProductionVariants=[variant(prefix, InitialVariantWeight=0.0)])
    assert refusal_of(create, **request, ProductionVariants=[variant(prefix + "-none")]) == (
        f'Could not find model "{arn}-none".')
    assert "initialVariantWeight" in refusal_of(
        unchecked.create_endpoint_config, **request, ProductionVariants=[variant(prefix, InitialVariantWeight=-1.0)])
    assert "'ml.m5.huge'" in refusal_of(
        create, **request, ProductionVariants=[variant(prefix, InstanceType="ml.m5.huge")])


def test_there_are_no_monitoring_schedules(sagemaker, prefix):
    """The SDK's Predictor asks before it deletes an endpoint."""
    reply = sagemaker.list_monitoring_schedules(EndpointName=prefix, MaxResults=100)
    assert reply["MonitoringScheduleSummaries"] == [] and "NextToken" not in reply
    assert "sortBy" in refusal_of(sagemaker.list_monitoring_schedules, SortBy="Colour")


def test_the_command_line_client(aws, prefix):
    created = json.loads(aws("sagemaker", "create-model", "--model-name", prefix, "--execution-role-arn", ROLE,
                             "--primary-container", json.dumps(CONTAINER), "--tags", "Key=team,Value=a"))
    aws("sagemaker", "create-endpoint-config", "--endpoint-config-name", prefix, "--production-variants",
        f"VariantName=AllTraffic,ModelName={prefix},InitialInstanceCount=1,InstanceType=ml.c5.xlarge")
    described = json.loads(aws("sagemaker", "describe-endpoint-config", "--endpoint-config-name", prefix))
    assert described["ProductionVariants"] == [variant(prefix)]
    listed = json.loads(aws("sagemaker", "list-models", "--name-contains", prefix))
    assert [model["ModelArn"] for model in listed["Models"]] == [created["ModelArn"]]
    tags = json.loads(aws("sagemaker", "list-tags", "--resource-arn", created["ModelArn"]))
    assert tags["Tags"] == [{"Key": "team", "Value": "a"}]
    aws("sagemaker", "delete-endpoint-config", "--endpoint-config-name", prefix)
    aws("sagemaker", "delete-model", "--model-name", prefix)
    assert "Could not find model" in aws("sagemaker", "describe-model", "--model-name", prefix, code=255)
