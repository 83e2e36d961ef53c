#include "serving/rest/model_info.h"

#include "serving/codec/json_print.h"
#include "serving/core/status.h"

namespace sagebrush::serving {
namespace {

void Member(PrettyWriter& writer, std::string_view key, std::string_view value) {
  writer.Key(key);
  writer.String(value);
}

void PrintShape(PrettyWriter& writer, const std::optional<Shape>& shape) {
  writer.Key("tensor_shape");
  writer.StartObject();
  writer.Key("dim");
  writer.StartArray();
  for (int64_t size : shape.value_or(Shape())) {
    writer.StartObject();
    Member(writer, "size", std::to_string(size));
    Member(writer, "name", "");
    writer.EndObject();
  }
  writer.EndArray();
  writer.Key("unknown_rank");
  writer.Raw(shape ? "false" : "true");
  writer.EndObject();
}

void PrintTensors(PrettyWriter& writer, std::string_view key,
                  const std::map<std::string, TensorInfo, std::less<>>& tensors) {
  writer.Key(key);
  writer.StartObject();
  for (const auto& [alias, info] : tensors) {
    writer.Key(alias);
    writer.StartObject();
    Member(writer, "dtype", ProtoTypeName(info.type));
    PrintShape(writer, info.shape);
    Member(writer, "name", info.name);
    writer.EndObject();
  }
  writer.EndObject();
}

}  // namespace

std::string PrintModelStatus(std::span<const VersionStatus> versions) {
  PrettyWriter writer(1);
  writer.StartObject();
  writer.Key("model_version_status");
  writer.StartArray();
  for (const VersionStatus& version : versions) {
    writer.StartObject();
    Member(writer, "version", std::to_string(version.version));
    Member(writer, "state", ToString(version.state));
    writer.Key("status");
    writer.StartObject();
    Member(writer, "error_code", version.error ? CodeName(CodeOf(*version.error)) : CodeName(CanonicalCode::kOk));
    Member(writer, "error_message", version.error ? version.error->message : "");
    writer.EndObject();
    writer.EndObject();
  }
  writer.EndArray();
  writer.EndObject();
  return writer.Take() + "\n";
}

std::string PrintModelMetadata(const Servable& servable) {
  PrettyWriter writer(1);
  writer.StartObject();
  writer.Key("model_spec");
  writer.StartObject();
  Member(writer, "name", servable.model_name());
  Member(writer, "signature_name", "");
  Member(writer, "version", std::to_string(servable.version()));
  writer.EndObject();
  writer.Key("metadata");
  writer.StartObject();
  writer.Key("signature_def");
  writer.StartObject();
  writer.Key("signature_def");
  writer.StartObject();
  for (const auto& [name, signature] : servable.signatures()) {
    writer.Key(name);
    writer.StartObject();
    PrintTensors(writer, "inputs", signature.inputs);
    PrintTensors(writer, "outputs", signature.outputs);
    Member(writer, "method_name", signature.method_name);
    writer.EndObject();
  }
  for (int level = 0; level < 4; ++level) writer.EndObject();
  return writer.Take() + "\n";
}

}  // namespace sagebrush::serving
