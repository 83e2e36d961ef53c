#include <boost/json.hpp>

#include "domain/endpoint.h"

namespace sagebrush::domain {
namespace {

namespace json = boost::json;

constexpr std::string_view kStages[] = {"wanted", "draining", "leaving"};

json::object Write(const EndpointVariant& variant) {
  json::object environment;
  for (const auto& [name, value] : variant.environment) environment.emplace(name, value);
  return {{"name", variant.name},
          {"model_name", variant.model_name},
          {"image", variant.image},
          {"model_data_url", variant.model_data_url},
          {"environment", std::move(environment)},
          {"network_isolation", variant.network_isolation},
          {"instance_type", variant.instance_type},
          {"instance_count", variant.instance_count},
          {"settled_count", variant.settled_count},
          {"weight", variant.weight},
          {"start_limit_ms", variant.start_limit_ms}};
}

json::value Write(const std::optional<Fleet>& fleet) {
  if (!fleet) return nullptr;
  json::array variants;
  for (const EndpointVariant& variant : fleet->variants) variants.push_back(Write(variant));
  return json::object{
      {"generation", fleet->generation}, {"config_name", fleet->config_name}, {"variants", std::move(variants)}};
}

json::object Write(const EndpointInstance& instance) {
  return {{"serial", instance.serial},
          {"generation", instance.generation},
          {"variant", instance.variant},
          {"rank", instance.rank},
          {"stage", kStages[static_cast<size_t>(instance.stage)]},
          {"served", instance.served},
          {"start_ms", instance.start_ms},
          {"draining_ms", instance.draining_ms},
          {"failures", instance.failures}};
}

std::string Text(const json::object& object, std::string_view key) { return std::string(object.at(key).as_string()); }
int Int(const json::object& object, std::string_view key) { return object.at(key).to_number<int>(); }

EndpointVariant ReadVariant(const json::object& object) {
  EndpointVariant variant;
  variant.name = Text(object, "name");
  variant.model_name = Text(object, "model_name");
  variant.image = Text(object, "image");
  variant.model_data_url = Text(object, "model_data_url");
  for (const auto& [name, value] : object.at("environment").as_object()) {
    variant.environment.emplace(name, std::string(value.as_string()));
  }
  variant.network_isolation = object.at("network_isolation").as_bool();
  variant.instance_type = Text(object, "instance_type");
  variant.instance_count = Int(object, "instance_count");
  variant.settled_count = Int(object, "settled_count");
  variant.weight = object.at("weight").to_number<double>();
  variant.start_limit_ms = object.at("start_limit_ms").as_int64();
  return variant;
}

std::optional<Fleet> ReadFleet(const json::value& value) {
  if (value.is_null()) return std::nullopt;
  const json::object& object = value.as_object();
  Fleet fleet{Int(object, "generation"), Text(object, "config_name"), {}};
  for (const json::value& variant : object.at("variants").as_array()) {
    fleet.variants.push_back(ReadVariant(variant.as_object()));
  }
  return fleet;
}

EndpointInstance ReadInstance(const json::object& object) {
  EndpointInstance instance;
  instance.serial = Int(object, "serial");
  instance.generation = Int(object, "generation");
  instance.variant = Text(object, "variant");
  instance.rank = Int(object, "rank");
  size_t stage = 0;
  while (Text(object, "stage") != kStages[stage]) {
    if (++stage == std::size(kStages)) throw std::out_of_range("stage");
  }
  instance.stage = static_cast<EndpointInstance::Stage>(stage);
  instance.served = object.at("served").as_bool();
  instance.start_ms = object.at("start_ms").as_int64();
  instance.draining_ms = object.at("draining_ms").as_int64();
  instance.failures = Int(object, "failures");
  return instance;
}

EndpointState Read(const json::object& object) {
  EndpointState state;
  std::optional<EndpointStatus> status = ParseEndpointStatus(Text(object, "status"));
  if (!status) throw std::out_of_range("status");
  state.status = *status;
  state.config_name = Text(object, "config_name");
  state.serving = ReadFleet(object.at("serving"));
  state.coming = ReadFleet(object.at("coming"));
  for (const json::value& instance : object.at("instances").as_array()) {
    state.instances.push_back(ReadInstance(instance.as_object()));
  }
  state.next_serial = Int(object, "next_serial");
  state.next_generation = Int(object, "next_generation");
  state.failure_reason = Text(object, "failure_reason");
  state.created_ms = object.at("created_ms").as_int64();
  state.modified_ms = object.at("modified_ms").as_int64();
  return state;
}

}  // namespace

std::string ToJson(const EndpointState& state) {
  json::array instances;
  for (const EndpointInstance& instance : state.instances) instances.push_back(Write(instance));
  return json::serialize(json::object{{"status", ToString(state.status)},
                                      {"config_name", state.config_name},
                                      {"serving", Write(state.serving)},
                                      {"coming", Write(state.coming)},
                                      {"instances", std::move(instances)},
                                      {"next_serial", state.next_serial},
                                      {"next_generation", state.next_generation},
                                      {"failure_reason", state.failure_reason},
                                      {"created_ms", state.created_ms},
                                      {"modified_ms", state.modified_ms}});
}

Result<EndpointState> EndpointStateFromJson(std::string_view text) {
  // Boost.JSON reports a wrong form by exceptions; they end here.
  try {
    return Read(json::parse(text).as_object());
  } catch (const std::exception& error) {
    return Fail(Error(ErrorKind::kDataLoss, std::string("a stored endpoint state is damaged: ") + error.what()));
  }
}

}  // namespace sagebrush::domain
