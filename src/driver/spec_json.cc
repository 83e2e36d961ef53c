#include "driver/spec_json.h"

#include <boost/json.hpp>

namespace sagebrush::driver {
namespace {

namespace json = boost::json;

constexpr std::pair<Phase, std::string_view> kPhases[] = {
    {Phase::kStarting, "Starting"}, {Phase::kDownloading, "Downloading"}, {Phase::kReady, "Ready"},
    {Phase::kTraining, "Training"}, {Phase::kUploading, "Uploading"},     {Phase::kEnded, "Ended"},
    {Phase::kLost, "Lost"},
};

template <class Strings>
json::array StringArray(const Strings& strings) {
  json::array array;
  for (const auto& text : strings) {
    if constexpr (requires { text.native(); }) {
      array.emplace_back(text.native());
    } else {
      array.emplace_back(text);
    }
  }
  return array;
}

json::object StringObject(const std::map<std::string, std::string>& map) {
  json::object object;
  for (const auto& [key, value] : map) object.emplace(key, value);
  return object;
}

// Reads typed fields of one object; remembers the first field of a wrong type.
class Reader {
 public:
  explicit Reader(const json::object& object) : object_(object) {}

  void Get(const char* key, std::string& out) {
    if (const json::value* value = Find(key, json::kind::string)) out = std::string(value->get_string());
  }
  void Get(const char* key, std::filesystem::path& out) {
    if (const json::value* value = Find(key, json::kind::string)) out = std::string(value->get_string());
  }
  void Get(const char* key, bool& out) {
    if (const json::value* value = Find(key, json::kind::bool_)) out = value->get_bool();
  }
  void Get(const char* key, double& out) {
    const json::value* value = object_.if_contains(key);
    if (value == nullptr) return;
    if (!value->is_number()) return Wrong(key);
    out = value->to_number<double>();
  }
  template <std::signed_integral Int>
  void Get(const char* key, Int& out) {
    if (const json::value* value = Find(key, json::kind::int64)) out = static_cast<Int>(value->get_int64());
  }
  void Get(const char* key, uint16_t& out) {
    const json::value* value = Find(key, json::kind::int64);
    if (value == nullptr) return;
    if (value->get_int64() < 0 || value->get_int64() > UINT16_MAX) return Wrong(key);
    out = static_cast<uint16_t>(value->get_int64());
  }
  template <class Item>
  void Get(const char* key, std::vector<Item>& out) {
    const json::value* value = Find(key, json::kind::array);
    if (value == nullptr) return;
    for (const json::value& item : value->get_array()) {
      if (!item.is_string()) return Wrong(key);
      out.emplace_back(std::string(item.get_string()));
    }
  }
  void Get(const char* key, std::map<std::string, std::string>& out) {
    const json::value* value = Find(key, json::kind::object);
    if (value == nullptr) return;
    for (const auto& [name, item] : value->get_object()) {
      if (!item.is_string()) return Wrong(key);
      out.emplace(name, item.get_string());
    }
  }
  const json::object* Object(const char* key) {
    const json::value* value = Find(key, json::kind::object);
    return value == nullptr ? nullptr : &value->get_object();
  }
  const json::array* Array(const char* key) {
    const json::value* value = Find(key, json::kind::array);
    return value == nullptr ? nullptr : &value->get_array();
  }
  void Wrong(const char* key) {
    if (wrong_.empty()) wrong_ = key;
  }
  const std::string& wrong() const { return wrong_; }

 private:
  const json::value* Find(const char* key, json::kind kind) {
    const json::value* value = object_.if_contains(key);
    if (value == nullptr) return nullptr;
    if (value->kind() == kind) return value;
    Wrong(key);
    return nullptr;
  }

  const json::object& object_;
  std::string wrong_;
};

Result<json::object> ParseObject(std::string_view text, std::string_view what) {
  boost::system::error_code error;
  json::value value = json::parse({text.data(), text.size()}, error);
  if (error || !value.is_object()) {
    return Fail(Error(ErrorKind::kDataLoss, std::string(what) + " is not a JSON object" +
                                                (error ? ": " + error.message() : std::string()) + "."));
  }
  return std::move(value.get_object());
}

Error WrongField(std::string_view what, const std::string& field) {
  return Error(ErrorKind::kDataLoss, std::string(what) + " has a field of an unexpected type: " + field + ".");
}

json::object ServiceToJson(const Service& service) {
  return {{"model_archive", service.model_archive.native()},
          {"command", StringArray(service.command)},
          {"port", service.port},
          {"model_source", service.model_source}};
}

json::object LimitsToJson(const ResourceLimits& limits) {
  return {{"vcpus", limits.vcpus}, {"memory_bytes", limits.memory_bytes}, {"pids", limits.pids}};
}

}  // namespace

std::string_view ToString(Phase phase) {
  for (const auto& [value, name] : kPhases) {
    if (value == phase) return name;
  }
  return "Lost";
}

std::string SpecToJson(const InstanceSpec& spec) {
  json::array channels;
  for (const Channel& channel : spec.channels) {
    channels.emplace_back(json::object{{"name", channel.name}, {"links", channel.links.native()}});
  }
  json::object object{
      {"id", spec.id.value()},
      {"job", spec.job.value()},
      {"job_arn", spec.job_arn},
      {"epoch", spec.epoch.value},
      {"rank", spec.rank},
      {"count", spec.count},
      {"commands", spec.commands.native()},
      {"instance_type", spec.instance_type},
      {"limits", LimitsToJson(spec.limits)},
      {"environment", json::object{{"venv", spec.environment.venv.native()},
                                   {"read_only", StringArray(spec.environment.read_only)},
                                   {"note", spec.environment.note}}},
      {"channels", std::move(channels)},
      {"checkpoints",
       json::object{{"directory", spec.checkpoints.directory.native()}, {"path", spec.checkpoints.path.native()}}},
      {"source_archive", spec.source_archive.native()},
      {"hyperparameters", StringObject(spec.hyperparameters)},
      {"input_data_config_json", spec.input_data_config_json},
      {"resource_config_json", spec.resource_config_json},
      {"variables", StringObject(spec.variables)},
      {"entrypoint", StringArray(spec.entrypoint)},
      {"arguments", StringArray(spec.arguments)},
      {"network_isolation", spec.network_isolation},
      {"held", spec.held},
      {"compress_model", spec.compress_model},
      {"stop_grace_ms", spec.stop_grace_ms},
      {"engine_socket", spec.engine_socket.native()},
  };
  if (spec.service) object.emplace("service", ServiceToJson(*spec.service));
  return json::serialize(object);
}

Result<InstanceSpec> SpecFromJson(std::string_view text) {
  TRY(json::object object, ParseObject(text, "spec.json"));
  Reader reader(object);
  InstanceSpec spec;
  std::string id, job;
  reader.Get("id", id);
  reader.Get("job", job);
  spec.id = InstanceId(id);
  spec.job = JobName(job);
  reader.Get("job_arn", spec.job_arn);
  reader.Get("epoch", spec.epoch.value);
  reader.Get("rank", spec.rank);
  reader.Get("count", spec.count);
  reader.Get("commands", spec.commands);
  reader.Get("instance_type", spec.instance_type);
  if (const json::object* limits = reader.Object("limits")) {
    Reader inner(*limits);
    inner.Get("vcpus", spec.limits.vcpus);
    inner.Get("memory_bytes", spec.limits.memory_bytes);
    inner.Get("pids", spec.limits.pids);
    if (!inner.wrong().empty()) reader.Wrong("limits");
  }
  if (const json::object* environment = reader.Object("environment")) {
    Reader inner(*environment);
    inner.Get("venv", spec.environment.venv);
    inner.Get("read_only", spec.environment.read_only);
    inner.Get("note", spec.environment.note);
    if (!inner.wrong().empty()) reader.Wrong("environment");
  }
  if (const json::array* channels = reader.Array("channels")) {
    for (const json::value& item : *channels) {
      if (!item.is_object()) return Fail(WrongField("spec.json", "channels"));
      Reader inner(item.get_object());
      Channel& channel = spec.channels.emplace_back();
      inner.Get("name", channel.name);
      inner.Get("links", channel.links);
      if (!inner.wrong().empty()) reader.Wrong("channels");
    }
  }
  if (const json::object* checkpoints = reader.Object("checkpoints")) {
    Reader inner(*checkpoints);
    inner.Get("directory", spec.checkpoints.directory);
    inner.Get("path", spec.checkpoints.path);
    if (!inner.wrong().empty()) reader.Wrong("checkpoints");
  }
  reader.Get("source_archive", spec.source_archive);
  reader.Get("hyperparameters", spec.hyperparameters);
  reader.Get("input_data_config_json", spec.input_data_config_json);
  reader.Get("resource_config_json", spec.resource_config_json);
  reader.Get("variables", spec.variables);
  reader.Get("entrypoint", spec.entrypoint);
  reader.Get("arguments", spec.arguments);
  reader.Get("network_isolation", spec.network_isolation);
  reader.Get("held", spec.held);
  reader.Get("compress_model", spec.compress_model);
  reader.Get("stop_grace_ms", spec.stop_grace_ms);
  reader.Get("engine_socket", spec.engine_socket);
  if (const json::object* service = reader.Object("service")) {
    Reader inner(*service);
    spec.service.emplace();
    inner.Get("model_archive", spec.service->model_archive);
    inner.Get("command", spec.service->command);
    inner.Get("port", spec.service->port);
    inner.Get("model_source", spec.service->model_source);
    if (!inner.wrong().empty()) reader.Wrong("service");
  }
  if (!reader.wrong().empty()) return Fail(WrongField("spec.json", reader.wrong()));
  if (spec.id.empty()) return Fail(Error(ErrorKind::kDataLoss, "spec.json names no instance id."));
  return spec;
}

std::string StatusToJson(const InstanceStatus& status) {
  json::object object{
      {"id", status.id.value()},
      {"epoch", status.epoch.value},
      {"phase", ToString(status.phase)},
      {"started_ms", status.started_ms},
      {"ready_ms", status.ready_ms},
      {"training_started_ms", status.training_started_ms},
      {"training_ended_ms", status.training_ended_ms},
      {"ended_ms", status.ended_ms},
      {"succeeded", status.succeeded},
      {"stopped", status.stopped},
      {"exit_code", status.exit_code},
      {"signal", status.signal},
      {"out_of_memory", status.out_of_memory},
      {"machine_failed", status.machine_failed},
      {"failure_reason", status.failure_reason},
      {"model_archive", status.model_archive.native()},
      {"output_archive", status.output_archive.native()},
  };
  return json::serialize(object);
}

Result<InstanceStatus> StatusFromJson(std::string_view text) {
  TRY(json::object object, ParseObject(text, "status.json"));
  Reader reader(object);
  InstanceStatus status;
  std::string id, phase;
  reader.Get("id", id);
  status.id = InstanceId(id);
  reader.Get("epoch", status.epoch.value);
  reader.Get("phase", phase);
  bool known = false;
  for (const auto& [value, name] : kPhases) {
    if (name != phase) continue;
    status.phase = value;
    known = true;
  }
  if (!known) return Fail(WrongField("status.json", "phase"));
  reader.Get("started_ms", status.started_ms);
  reader.Get("ready_ms", status.ready_ms);
  reader.Get("training_started_ms", status.training_started_ms);
  reader.Get("training_ended_ms", status.training_ended_ms);
  reader.Get("ended_ms", status.ended_ms);
  reader.Get("succeeded", status.succeeded);
  reader.Get("stopped", status.stopped);
  reader.Get("exit_code", status.exit_code);
  reader.Get("signal", status.signal);
  reader.Get("out_of_memory", status.out_of_memory);
  reader.Get("machine_failed", status.machine_failed);
  reader.Get("failure_reason", status.failure_reason);
  reader.Get("model_archive", status.model_archive);
  reader.Get("output_archive", status.output_archive);
  if (!reader.wrong().empty()) return Fail(WrongField("status.json", reader.wrong()));
  return status;
}

}  // namespace sagebrush::driver
