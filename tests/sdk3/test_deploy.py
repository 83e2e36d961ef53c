"""Models and endpoints through version 3 of the unmodified SDK: ModelBuilder, and the resources below it."""

import json

import pytest

from support.endpoints import IMAGE, Endpoints
from support.jobs import ROLE

BODY = json.dumps({"instances": [1.0, 2.0, 5.0]})
HANDLERS = """\
import json

import colorama  # of requirements.txt

def input_handler(data, context):
    return json.dumps({"instances": [float(x) for x in data.read().decode().split("|")]})

def output_handler(response, context):
    return json.dumps(json.loads(response.content)["predictions"]), "application/json"
"""


@pytest.fixture(scope="session")
def half_plus_two(jobs):
    """The model.tar.gz of a training job: x / 2 + 2. These tests run in one process (--dist loadfile), so it is one."""
    return Endpoints(jobs).trained("half_plus_two")


def predictions(endpoint, body=BODY, **fields):
    reply = endpoint.invoke(body=body, **({"content_type": "application/json"} | fields))
    assert reply.content_type == "application/json"
    return json.loads(reply.body.read())


def test_a_trained_model_is_built_deployed_and_deleted(half_plus_two, endpoints, sdk_environment, monkeypatch):
    from sagemaker.core.helper import session_helper
    from sagemaker.core.resources import Endpoint, EndpointConfig
    from sagemaker.serve import ModelBuilder

    monkeypatch.setattr(session_helper, "EP_LOGGER_POLL", 1)  # seconds; it would look at endpoint and log every 30
    name = sdk_environment.new_name("built")
    endpoints.names.append(name)
    builder = ModelBuilder(s3_model_data_url=half_plus_two, image_uri=IMAGE, instance_type="ml.c5.large")
    model = builder.build()
    assert model.primary_container.model_data_url == half_plus_two
    endpoint = builder.deploy(endpoint_name=name)
    assert endpoint.endpoint_status == "InService"
    assert predictions(endpoint) == {"predictions": [2.5, 3.0, 4.5]}
    assert predictions(endpoint, "1.0\n3.0\n", content_type="text/csv") == {"predictions": [2.5, 3.5]}

    assert Endpoint.get(name).production_variants[0].current_instance_count == 1
    EndpointConfig.get(endpoint.endpoint_config_name).delete()
    endpoint.delete()
    endpoint.wait_for_delete(poll=1, timeout=60)
    model.delete()


def test_a_model_is_packed_anew_with_handlers_and_their_requirements(half_plus_two, endpoints, sdk_environment, tmp_path):
    from sagemaker.core.training.configs import SourceCode
    from sagemaker.serve import ModelBuilder

    (tmp_path / "inference.py").write_text(HANDLERS)
    (tmp_path / "requirements.txt").write_text("colorama==0.4.6\n")
    builder = ModelBuilder(s3_model_data_url=half_plus_two, image_uri=IMAGE, instance_type="ml.c5.large",
                           source_code=SourceCode(source_dir=str(tmp_path), entry_script="inference.py"))
    builder.build()
    name = sdk_environment.new_name("handlers")
    endpoints.names.append(name)
    endpoint = builder.deploy(endpoint_name=name, wait=False)
    endpoint.wait_for_status("InService", poll=1, timeout=120)
    assert predictions(endpoint, "1|2|5", content_type="text/plain") == [2.5, 3.0, 4.5]


def test_resources_are_made_invoked_updated_listed_and_deleted(half_plus_two, endpoints, sdk_environment):
    from botocore.exceptions import ClientError
    from sagemaker.core.resources import Endpoint, EndpointConfig, Model
    from sagemaker.core.shapes import ContainerDefinition, DesiredWeightAndCapacity, ProductionVariant, Tag

    name = sdk_environment.new_name("core")
    endpoints.names.append(name)
    model = Model.create(model_name=name, execution_role_arn=ROLE, tags=[Tag(key="team", value="blue")],
                         primary_container=ContainerDefinition(image=IMAGE, model_data_url=half_plus_two))
    assert Model.get(name).model_arn == model.model_arn

    def config(config_name, instances):
        return EndpointConfig.create(endpoint_config_name=config_name, production_variants=[ProductionVariant(
            variant_name="AllTraffic", model_name=name, initial_instance_count=instances, instance_type="ml.c5.large",
            initial_variant_weight=1.0)])

    first, second = config(name, 1), config(name + "-two", 2)
    endpoint = Endpoint.create(endpoint_name=name, endpoint_config_name=name)
    assert endpoint.endpoint_status in ("Creating", "InService"), "it can be read at once"
    endpoint.wait_for_status("InService", poll=1, timeout=120)
    assert predictions(endpoint, accept="application/json") == {"predictions": [2.5, 3.0, 4.5]}
    with pytest.raises(ClientError, match="ModelError"):
        predictions(endpoint, "{not json")

    endpoint.endpoint_config_name = second.endpoint_config_name
    endpoint.update()
    endpoint.wait_for_status("InService", poll=1, timeout=120)
    assert endpoint.refresh().production_variants[0].current_instance_count == 2
    endpoint.update_weights_and_capacities([DesiredWeightAndCapacity(variant_name="AllTraffic", desired_instance_count=1)])
    endpoint.wait_for_status("InService", poll=1, timeout=120)
    assert endpoint.refresh().production_variants[0].current_instance_count == 1

    assert [found.get_name() for found in Endpoint.get_all(name_contains=name, status_equals="InService")] == [name]
    assert [found.get_name() for found in Model.get_all(name_contains=name)] == [name]
    assert {found.get_name() for found in EndpointConfig.get_all(name_contains=name)} == {name, name + "-two"}
    endpoint.delete()
    endpoint.wait_for_delete(poll=1, timeout=60)
    for resource in (model, first, second):
        resource.delete()
    for kind in (Model, EndpointConfig, Endpoint):
        with pytest.raises(ClientError, match="Could not find") as missing:
            kind.get(name)
        assert missing.value.response["Error"]["Code"] == "ValidationException"


def test_an_endpoint_that_fails_raises_with_the_reason(endpoints, sdk_environment):
    from sagemaker.core.resources import Endpoint
    from sagemaker.core.utils.exceptions import FailedStatusError

    broken = endpoints.artifact(sdk_environment.new_name("broken"), {"model/1/readme.txt": "there is no model here"})
    name = endpoints.start(endpoints.config(endpoints.model(broken)))
    endpoint = Endpoint.get(name)
    with pytest.raises(FailedStatusError) as failure:
        endpoint.wait_for_status("InService", poll=1, timeout=120)
    assert endpoint.failure_reason and endpoint.failure_reason in str(failure.value)
