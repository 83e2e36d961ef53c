#include "serving/config/model_config_proto.h"

namespace sagebrush::serving {
namespace {

namespace api = ::tensorflow::serving;
using PolicyProto = api::FileSystemStoragePathSourceConfig::ServableVersionPolicy;

constexpr std::string_view kPlatform = "tensorflow";

Result<VersionPolicy> PolicyFromProto(const PolicyProto& proto) {
  switch (proto.policy_choice_case()) {
    case PolicyProto::kAll:
      return AllVersions{};
    case PolicyProto::kSpecific: {
      const auto& versions = proto.specific().versions();
      if (versions.empty()) return Fail(InvalidArgument("model_version_policy.specific names no version"));
      for (int64_t version : versions) {
        if (version < 0) return Fail(InvalidArgument("version " + std::to_string(version) + " is negative"));
      }
      return SpecificVersions{{versions.begin(), versions.end()}};
    }
    case PolicyProto::kLatest:
    case PolicyProto::POLICY_CHOICE_NOT_SET:
      break;
  }
  return LatestVersions{std::max<uint32_t>(1, proto.latest().num_versions())};
}

Result<void> CheckPlatform(const api::ModelConfig& proto) {
  bool has_type = proto.model_type() != api::MODEL_TYPE_UNSPECIFIED;
  if (has_type && !proto.model_platform().empty()) {
    return Fail(InvalidArgument("both model_type (deprecated) and model_platform are set"));
  }
  if (has_type && proto.model_type() != api::TENSORFLOW) {
    return Fail(InvalidArgument("model_type must be TENSORFLOW"));
  }
  if (!proto.model_platform().empty() && proto.model_platform() != kPlatform) {
    return Fail(InvalidArgument("model_platform \"" + proto.model_platform() + "\" must be \"tensorflow\""));
  }
  return {};
}

Result<ModelConfig> ModelConfigFromProto(const api::ModelConfig& proto) {
  if (proto.name().empty()) return Fail(InvalidArgument("the model has no name"));
  if (proto.base_path().empty()) return Fail(InvalidArgument("model " + proto.name() + " has no base_path"));
  TRYV(CheckPlatform(proto));
  if (proto.has_logging_config()) {
    return Fail(Unsupported("logging_config of model " + proto.name() + ": requests cannot be logged; remove it"));
  }
  TRY(VersionPolicy policy, PolicyFromProto(proto.model_version_policy()));
  ModelConfig config{proto.name(), proto.base_path(), std::move(policy), {}};
  for (const auto& [label, version] : proto.version_labels()) {
    if (label.empty()) return Fail(InvalidArgument("model " + proto.name() + " has a version label without a name"));
    if (version < 0) return Fail(InvalidArgument("version " + std::to_string(version) + " is negative"));
    config.labels[label] = version;
  }
  return config;
}

}  // namespace

Result<std::vector<ModelConfig>> ModelConfigsFromProto(const api::ModelServerConfig& proto,
                                                       const std::function<std::string(int index)>& place) {
  if (!proto.has_model_config_list()) {
    return Fail(
        InvalidArgument("ServerModelConfig type not supported. Only ModelConfigList is currently supported: "
                        "model_config_list { config { … } }"));
  }
  std::vector<ModelConfig> configs;
  for (int index = 0; index < proto.model_config_list().config_size(); ++index) {
    Result<ModelConfig> config = ModelConfigFromProto(proto.model_config_list().config(index));
    if (!config) return Fail(std::move(config).error().Because(place(index)));
    configs.push_back(*std::move(config));
  }
  return configs;
}

}  // namespace sagebrush::serving
