#include "agent/toolkit.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <set>

#include "agent/tensorflow_cluster.h"

namespace sagebrush::agent {
namespace {

using driver::InstanceSpec;
using Dict = PythonValue::Dict;
using List = PythonValue::List;

// Parameters that the toolkit uses up; the other sagemaker_* ones become SM_FRAMEWORK_PARAMS.
const std::set<std::string>& ConsumedParameters() {
  static const std::set<std::string> kConsumed = {"sagemaker_program",
                                                  "sagemaker_submit_directory",
                                                  "sagemaker_container_log_level",
                                                  "sagemaker_job_name",
                                                  "sagemaker_region",
                                                  "sagemaker_enable_cloudwatch_metrics",
                                                  "sagemaker_s3_output",
                                                  "sagemaker_tuning_objective_metric"};
  return kConsumed;
}

std::string Upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

PythonValue ParseOr(const std::string& json, PythonValue otherwise) {
  Result<PythonValue> value = PythonValue::Parse(json);
  return value ? *value : otherwise;
}

const PythonValue* Find(const PythonValue& object, const std::string& key) {
  const Dict* dict = object.dict();
  if (dict == nullptr) return nullptr;
  auto it = dict->find(key);
  return it == dict->end() ? nullptr : &it->second;
}

PythonValue Get(const PythonValue& object, const std::string& key, PythonValue otherwise) {
  const PythonValue* value = Find(object, key);
  return value == nullptr ? std::move(otherwise) : *value;
}

List Strings(const std::vector<std::string>& texts) {
  List list;
  for (const std::string& text : texts) list.emplace_back(text);
  return list;
}

std::vector<std::string> Hosts(const InstanceSpec& spec) {
  std::vector<std::string> hosts;
  for (int host = 1; host <= spec.count; ++host) hosts.push_back("algo-" + std::to_string(host));
  return hosts;
}

std::string ModuleName(const std::string& program) {
  return program.ends_with(".py") ? program.substr(0, program.size() - 3) : program;
}

struct Groups {
  PythonValue current_name, current_hosts = List{}, names = List{}, by_name = Dict{}, distribution = List{};
  bool heterogeneous = false;
};

bool IsDistributed(const Hyperparameters& hyperparameters) {
  return hyperparameters.Enabled("sagemaker_parameter_server_enabled") ||
         hyperparameters.Enabled("sagemaker_multi_worker_mirrored_strategy_enabled") ||
         hyperparameters.Enabled("sagemaker_mpi_enabled") ||
         hyperparameters.Enabled("sagemaker_distributed_dataparallel_enabled");
}

PythonValue DistributionGroups(const PythonValue& resource_config, const Hyperparameters& hyperparameters) {
  auto listed = hyperparameters.toolkit.find("sagemaker_distribution_instance_groups");
  if (listed != hyperparameters.toolkit.end()) return listed->second;
  if (!IsDistributed(hyperparameters)) return List{};
  return List{Get(resource_config, "current_group_name", "homogeneousCluster")};
}

Groups InstanceGroups(const PythonValue& resource_config, const Hyperparameters& hyperparameters) {
  Groups groups;
  groups.current_name = Get(resource_config, "current_group_name", "homogeneousCluster");
  List names;
  Dict by_name;
  const PythonValue* configured = Find(resource_config, "instance_groups");
  if (configured != nullptr && configured->list() != nullptr) {
    for (const PythonValue& group : *configured->list()) {
      std::string name = Get(group, "instance_group_name", "").Str();
      if (name == groups.current_name.Str()) groups.current_hosts = Get(group, "hosts", List{});
      names.emplace_back(name);
      by_name[name] = group;
    }
  }
  groups.heterogeneous = names.size() > 1;
  groups.distribution = DistributionGroups(resource_config, hyperparameters);
  groups.names = std::move(names);
  groups.by_name = std::move(by_name);
  return groups;
}

// Everything that becomes SM_<KEY>, and the subset that SM_TRAINING_ENV repeats.
Dict ToolkitProperties(const InstanceSpec& spec, const Hyperparameters& hyperparameters, const MachineFacts& machine) {
  PythonValue resource_config = ParseOr(spec.resource_config_json, Dict{});
  PythonValue input_data_config = ParseOr(spec.input_data_config_json, Dict{});
  std::vector<std::string> hosts = Hosts(spec);
  std::string current = hosts[static_cast<size_t>(spec.rank)];
  Groups groups = InstanceGroups(resource_config, hyperparameters);
  std::vector<std::string> distribution_hosts = DistributionHosts(spec, hyperparameters);
  std::string master = distribution_hosts.empty() ? hosts[0] : distribution_hosts[0];
  std::string program = hyperparameters.Toolkit("sagemaker_program");
  Dict framework_parameters;
  for (const auto& [name, value] : hyperparameters.toolkit) {
    if (!ConsumedParameters().contains(name)) framework_parameters[name] = value;
  }
  Dict channel_dirs;
  if (const Dict* configured = input_data_config.dict()) {
    for (const auto& [name, channel] : *configured) channel_dirs[name] = "/opt/ml/input/data/" + name;
  }
  auto log_level = hyperparameters.toolkit.find("sagemaker_container_log_level");
  auto job = spec.variables.find("TRAINING_JOB_NAME");
  std::string job_name = hyperparameters.Toolkit("sagemaker_job_name");
  if (job_name.empty()) job_name = job != spec.variables.end() ? job->second : spec.job.value();
  return Dict{
      {"additional_framework_parameters", framework_parameters},
      {"channel_input_dirs", channel_dirs},
      {"current_host", current},
      {"current_instance_group", groups.current_name},
      {"current_instance_group_hosts", groups.current_hosts},
      {"current_instance_type", spec.instance_type},
      {"distribution_hosts", Strings(distribution_hosts)},
      {"distribution_instance_groups", groups.distribution},
      {"framework_module", "sagemaker_tensorflow_container.training:main"},
      {"hosts", Strings(hosts)},
      {"hyperparameters", hyperparameters.script},
      {"input_config_dir", "/opt/ml/input/config"},
      {"input_data_config", input_data_config},
      {"input_dir", "/opt/ml/input"},
      {"instance_groups", groups.names},
      {"instance_groups_dict", groups.by_name},
      {"is_hetero", groups.heterogeneous},
      {"is_master", current == master},
      {"is_modelparallel_enabled", PythonValue()},
      {"is_smddpmprun_installed", false},
      {"is_smddprun_installed", false},
      {"job_name", job_name},
      {"log_level", log_level == hyperparameters.toolkit.end() ? PythonValue(20) : log_level->second},
      {"master_hostname", master},
      {"model_dir", "/opt/ml/model"},
      {"module_dir", hyperparameters.Toolkit("sagemaker_submit_directory").empty()
                         ? PythonValue("/opt/ml/code")
                         : PythonValue(hyperparameters.Toolkit("sagemaker_submit_directory"))},
      {"module_name", ModuleName(program)},
      {"network_interface_name", Get(resource_config, "network_interface_name", "eth0")},
      {"num_cpus", machine.cpus},
      {"num_gpus", machine.gpus},
      {"num_neurons", machine.neurons},
      {"output_data_dir", "/opt/ml/output/data"},
      {"output_dir", "/opt/ml/output"},
      {"output_intermediate_dir", "/opt/ml/output/intermediate"},
      {"resource_config", resource_config},
      {"user_entry_point", program},
  };
}

void AddToolkitVariables(const InstanceSpec& spec, const Hyperparameters& hyperparameters, const MachineFacts& machine,
                         std::map<std::string, std::string>& out) {
  Dict properties = ToolkitProperties(spec, hyperparameters, machine);
  Dict variables = properties;
  for (const char* only_inside : {"additional_framework_parameters", "channel_input_dirs", "distribution_hosts",
                                  "hyperparameters", "is_master", "is_modelparallel_enabled", "is_smddpmprun_installed",
                                  "is_smddprun_installed", "job_name", "master_hostname"}) {
    variables.erase(only_inside);
  }
  List channels;
  for (const auto& [name, directory] : *properties["channel_input_dirs"].dict()) {
    channels.emplace_back(name);
    variables["channel_" + name] = directory;
  }
  variables["channels"] = std::move(channels);
  for (const auto& [name, value] : hyperparameters.script) variables["hp_" + name] = value;
  variables["hps"] = hyperparameters.script;
  variables["framework_params"] = properties["additional_framework_parameters"];
  variables["user_args"] = Strings(ScriptArguments(hyperparameters));
  const PythonValue* topology = Find(properties["resource_config"], "topology");
  if (topology != nullptr) variables["topology"] = *topology;
  variables["training_env"] = std::move(properties);
  for (const auto& [name, value] : variables) {
    out["SM_" + Upper(name)] = value.is_none() ? "" : value.text() != nullptr ? *value.text() : value.Dumps();
  }
}

// The proxies that lead out: unless the job is isolated, the engine tunnels.
void AddProxies(const InstanceSpec& spec, std::map<std::string, std::string>& out) {
  if (spec.network_isolation || spec.engine_socket.empty()) return;
  std::string none = std::string("localhost,127.0.0.1,::1,10.77.0.0/16,") + driver::kEngineAddress;
  for (const std::string& host : Hosts(spec)) none += "," + host;
  for (const char* name : {"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"})
    out[name] = driver::kEngineEndpoint;
  for (const char* name : {"no_proxy", "NO_PROXY"}) out[name] = none;
}

void AddTensorFlowCluster(const InstanceSpec& spec, const Hyperparameters& hyperparameters,
                          std::map<std::string, std::string>& out) {
  Result<ClusterLayout> layout = LayoutOf(spec, hyperparameters);
  // A layout that cannot be had ends the job at ProgramCommand.
  if (layout && *layout != ClusterLayout::kNone) out["TF_CONFIG"] = TensorFlowConfig(spec, *layout);
}

// The directory of the s3:// plug-in holds the sitecustomize.py that registers it: Python must look there first, before
// a sitecustomize of the user's, which it then runs. An empty variable switches the plug-in off.
void AddTensorFlowHook(std::map<std::string, std::string>& out) {
  auto plugin = out.find("SAGEBRUSH_TF_S3_PLUGIN");
  if (plugin == out.end() || plugin->second.empty()) return;
  std::string directory = std::filesystem::path(plugin->second).parent_path();
  std::string& path = out["PYTHONPATH"];
  path = path.empty() ? directory : directory + ":" + path;
}

// Program names as the toolkit accepts them.
bool IsSafeProgram(const std::string& program) {
  if (program.starts_with('-') || program.starts_with('/')) return false;
  if (("/" + program + "/").find("/../") != std::string::npos) return false;
  return std::all_of(program.begin(), program.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '+' || c == '-' || c == '/';
  });
}

}  // namespace

Hyperparameters Hyperparameters::Decode(const std::map<std::string, std::string>& raw) {
  Hyperparameters decoded;
  for (const auto& [name, text] : raw) {
    PythonValue value = ParseOr(text, PythonValue(text));
    bool own =
        name.starts_with("sagemaker_") || name == "_tuning_objective_metric" || name == "default_user_module_name";
    (own ? decoded.toolkit : decoded.script)[name] = std::move(value);
  }
  return decoded;
}

std::string Hyperparameters::Toolkit(const std::string& name) const {
  auto it = toolkit.find(name);
  return it == toolkit.end() ? "" : it->second.Str();
}

bool Hyperparameters::Enabled(const std::string& name) const {
  auto it = toolkit.find(name);
  return it != toolkit.end() && (it->second.is_true() || it->second.Str() == "True" || it->second.Str() == "true");
}

std::vector<std::string> DistributionHosts(const InstanceSpec& spec, const Hyperparameters& hyperparameters) {
  PythonValue resource_config = ParseOr(spec.resource_config_json, Dict{});
  PythonValue configured = Get(resource_config, "instance_groups", PythonValue());
  if (configured.list() == nullptr) return Hosts(spec);
  PythonValue names = DistributionGroups(resource_config, hyperparameters);
  std::set<std::string> wanted, distributed;
  if (names.list() != nullptr) {
    for (const PythonValue& name : *names.list()) wanted.insert(name.Str());
  }
  for (const PythonValue& group : *configured.list()) {
    PythonValue hosts = Get(group, "hosts", List{});
    if (!wanted.contains(Get(group, "instance_group_name", "").Str()) || hosts.list() == nullptr) continue;
    for (const PythonValue& host : *hosts.list()) distributed.insert(host.Str());
  }
  std::vector<std::string> ordered;
  for (std::string& host : Hosts(spec)) {
    if (distributed.contains(host)) ordered.push_back(std::move(host));
  }
  return ordered;
}

std::vector<std::string> ScriptArguments(const Hyperparameters& hyperparameters) {
  std::vector<std::string> arguments;
  for (const auto& [name, value] : hyperparameters.script) {
    arguments.push_back((name.size() > 1 ? "--" : "-") + name);
    std::string text;
    if (const Dict* dict = value.dict()) {
      for (const auto& [key, item] : *dict) {
        text += (text.empty() ? "" : ",") + key + "=" + (item.is_none() ? "None" : item.Str());
      }
    } else {
      text = value.Str();
    }
    arguments.push_back(std::move(text));
  }
  return arguments;
}

bool UsesToolkit(const InstanceSpec& spec) { return spec.entrypoint.empty() && !spec.service; }

std::string PythonOf(const InstanceSpec& spec) {
  return spec.environment.venv.empty() ? "python3" : (spec.environment.venv / "bin/python").native();
}

std::map<std::string, std::string> ProgramEnvironment(const InstanceSpec& spec, const Hyperparameters& hyperparameters,
                                                      const MachineFacts& machine) {
  std::map<std::string, std::string> out = {
      {"HOME", "/root"},
      {"LANG", "C.UTF-8"},
      {"LC_ALL", "C.UTF-8"},
      {"LOGNAME", "root"},
      {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
      {"PIP_DISABLE_PIP_VERSION_CHECK", "1"},
      {"PIP_ROOT_USER_ACTION", "ignore"},
      {"PYTHONDONTWRITEBYTECODE", "1"},
      {"PYTHONIOENCODING", "UTF-8"},
      {"PYTHONUNBUFFERED", "1"},
      {"SHELL", "/bin/sh"},
      {"TF_CPP_MIN_LOG_LEVEL", "1"},
      {"USER", "root"},
  };
  if (!spec.environment.venv.empty()) {
    out["VIRTUAL_ENV"] = spec.environment.venv.native();
    out["PATH"] = (spec.environment.venv / "bin").native() + ":" + out["PATH"];
  }
  AddProxies(spec, out);
  if (UsesToolkit(spec)) {
    AddToolkitVariables(spec, hyperparameters, machine, out);
    AddTensorFlowCluster(spec, hyperparameters, out);
    out["CURRENT_HOST"] = out["SM_CURRENT_HOST"];
    out["PYTHONPATH"] = "/opt/ml/code";
    std::string region = hyperparameters.Toolkit("sagemaker_region");
    if (region.empty() && spec.variables.contains("AWS_REGION")) region = spec.variables.at("AWS_REGION");
    out["SAGEMAKER_REGION"] = region;
    out["SAGEMAKER_JOB_NAME"] = spec.job.value();
    out["S3_REGION"] = region;
    out["S3_USE_HTTPS"] = "1";
  }
  for (const auto& [name, value] : spec.variables) out[name] = value;
  AddTensorFlowHook(out);
  if (!spec.commands.empty()) out["PATH"] = spec.commands.native() + ":" + out["PATH"];
  return out;
}

Result<std::vector<std::string>> ProgramCommand(const InstanceSpec& spec, const Hyperparameters& hyperparameters) {
  if (spec.service) return spec.service->command;
  if (!UsesToolkit(spec)) {
    std::vector<std::string> command = spec.entrypoint;
    command.insert(command.end(), spec.arguments.begin(), spec.arguments.end());
    return command;
  }
  if (hyperparameters.Enabled("sagemaker_distributed_dataparallel_enabled")) {
    return Fail(
        Unsupported("The hyperparameter sagemaker_distributed_dataparallel_enabled asks for a library that is "
                    "not public; use `distribution={\"mpi\": {\"enabled\": True}}` with Horovod."));
  }
  TRYV(LayoutOf(spec, hyperparameters));
  std::string program = hyperparameters.Toolkit("sagemaker_program");
  if (program.empty()) {
    return Fail(InvalidArgument(
        "The job names no program to run. Set the hyperparameter sagemaker_program (the SDK's entry_point does that) "
        "with sagemaker_submit_directory, or AlgorithmSpecification.ContainerEntrypoint."));
  }
  if (!IsSafeProgram(program)) {
    return Fail(InvalidArgument(
        "The hyperparameter sagemaker_program must be a path inside the source archive, not \"" + program + "\"."));
  }
  std::vector<std::string> arguments = ScriptArguments(hyperparameters);
  arguments.insert(arguments.end(), spec.arguments.begin(), spec.arguments.end());
  if (program.ends_with(".py")) {
    std::vector<std::string> command = {PythonOf(spec), program};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return command;
  }
  std::string line = "./" + program;
  for (const std::string& argument : arguments) line += " " + ShellQuote(argument);
  return std::vector<std::string>{"/bin/sh", "-c", line};
}

std::string ServiceSearchPath(const InstanceSpec& spec, const std::string& path) {
  return spec.environment.venv.empty() ? path : (spec.environment.venv / "bin").native() + ":" + path;
}

std::string MissingServer(const driver::Service& service) {
  return "The image provides no program \"" + service.command.front() +
         "\". An inference image must have one, executable and in its PATH, that answers GET /ping and POST "
         "/invocations on port " +
         std::to_string(service.port) + ".";
}

std::string ShellQuote(const std::string& text) {
  bool plain = !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || std::string_view("_@%+=:,./-").find(static_cast<char>(c)) != std::string_view::npos;
  });
  if (plain) return text;
  std::string out = "'";
  for (char c : text) out += c == '\'' ? std::string("'\"'\"'") : std::string(1, c);
  return out + "'";
}

std::string JoinCommand(const std::vector<std::string>& argv) {
  std::string out;
  for (const std::string& argument : argv) out += (out.empty() ? "" : " ") + ShellQuote(argument);
  return out;
}

}  // namespace sagebrush::agent
