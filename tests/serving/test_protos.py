"""proto/ against the descriptors of the packages that real clients use: tensorflow-serving-api and TensorFlow."""

import importlib
import pathlib
import subprocess

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

ROOT = pathlib.Path(__file__).resolve().parents[2] / "proto"
PEERS = ("tensorflow_serving.apis.prediction_service_pb2", "tensorflow_serving.apis.model_service_pb2",
         "tensorflow_serving.apis.prediction_log_pb2", "tensorflow.core.protobuf.meta_graph_pb2",
         "tensorflow.core.protobuf.error_codes_pb2")
# Text formats only, which the client packages do not have.
OUR_OWN = {"tensorflow.serving.BatchingParameters", "tensorflow.serving.PrometheusConfig",
           "tensorflow.serving.MonitoringConfig"}
# Serialized messages that we declare as bytes: the same on the wire.
OPAQUE = {"tensorflow.serving.ExampleList.examples", "tensorflow.serving.ExampleListWithContext.examples",
          "tensorflow.serving.ExampleListWithContext.context"}
# Fields that serving neither reads nor writes. A field that the client packages gain fails the test until somebody has
# decided what to do with it.
LEFT_OUT = {
    "tensorflow.TensorProto": {"resource_handle_val", "variant_val", "float8_val"},
    "tensorflow.TensorInfo": {"coo_sparse", "composite_tensor"},
    "tensorflow.SignatureDef": {"defaults"},
    "tensorflow.serving.PredictRequest": {"predict_streamed_options", "client_id", "request_options"},
    "tensorflow.serving.FileSystemStoragePathSourceConfig": {
        "servables", "file_system_poll_wait_seconds", "fail_if_zero_versions_at_startup",
        "servable_versions_always_present"},
    "tensorflow.serving.LoggingConfig": {"custom_logging_config"},
    "tensorflow.serving.SamplingConfig": {"per_task_sampling_configs", "attributes"},
    "tensorflow.serving.ReloadConfigResponse": {"metric"},
    "tensorflow.serving.PredictionLog": {"log_metadata"},
    "tensorflow.serving.ClassifyLog": {"response"},
    "tensorflow.serving.RegressLog": {"response"},
    "tensorflow.serving.PredictLog": {"response"},
    "tensorflow.serving.MultiInferenceLog": {"response"},
    "tensorflow.serving.SessionRunLog": {"request", "response"},
    "tensorflow.serving.PredictStreamedLog": {"request", "response"},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The FileDescriptorProtos of proto/, in a pool of their own, and that pool."""
    output = tmp_path_factory.mktemp("protos") / "set.bin"
    sources = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.proto"))
    subprocess.run(["protoc", f"-I{ROOT}", "--include_imports", f"--descriptor_set_out={output}", *sources], check=True)
    described = descriptor_pb2.FileDescriptorSet.FromString(output.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in described.file:
        pool.Add(file)
    return [pool.FindFileByName(name) for name in sources]


@pytest.fixture(scope="module")
def theirs():
    for module in PEERS:
        importlib.import_module(module)
    return descriptor_pool.Default()


def messages_of(container):
    for message in container:
        yield message
        yield from messages_of(message.nested_types)


def meaning(field):
    """What decides the bytes of a field and the name that text formats and generated code give it."""
    kind = field.message_type or field.enum_type
    oneof = field.containing_oneof
    return {"number": field.number, "type": field.type, "repeated": field.is_repeated, "packed": field.is_packed,
            "of": kind.full_name if kind else "", "oneof": oneof.name if oneof else ""}


def test_every_message_has_the_names_numbers_and_types_of_the_clients(files, theirs):
    compared = 0
    for file in files:
        for message in messages_of(file.message_types_by_name.values()):
            if message.full_name in OUR_OWN:
                continue
            peer = theirs.FindMessageTypeByName(message.full_name)
            for field in message.fields:
                expected = meaning(peer.fields_by_name[field.name])
                if field.full_name in OPAQUE:
                    assert expected["of"] == "tensorflow.Example"
                    expected |= {"of": "", "type": field.TYPE_BYTES}
                assert meaning(field) == expected, field.full_name
                compared += 1
            missing = set(peer.fields_by_name) - set(message.fields_by_name)
            assert missing == LEFT_OUT.get(message.full_name, set()), message.full_name
    assert compared > 100


def test_every_enumeration_has_the_numbers_of_the_clients(files, theirs):
    names = []
    for file in files:
        enums = [*file.enum_types_by_name.values()]
        enums += [enum for message in messages_of(file.message_types_by_name.values()) for enum in message.enum_types]
        for enum in enums:
            peer = theirs.FindEnumTypeByName(enum.full_name)
            for value in enum.values:
                assert peer.values_by_name[value.name].number == value.number, value.name
            names.append(enum.full_name)
    assert {"tensorflow.DataType", "tensorflow.error.Code", "tensorflow.serving.ModelVersionStatus.State"} <= set(names)


def test_every_service_has_the_methods_of_the_clients(files, theirs):
    services = {service.full_name: service for file in files for service in file.services_by_name.values()}
    assert set(services) == {"tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"}
    for name, service in services.items():
        peer = theirs.FindServiceByName(name)
        assert ({method.name: (method.input_type.full_name, method.output_type.full_name) for method in service.methods}
                == {method.name: (method.input_type.full_name, method.output_type.full_name)
                    for method in peer.methods})
