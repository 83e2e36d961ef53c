#include "agent/tensorflow_cluster.h"

#include <algorithm>
#include <span>

namespace sagebrush::agent {
namespace {

using Dict = PythonValue::Dict;
using List = PythonValue::List;

constexpr char kLayoutParameter[] = "sagemaker_parameter_server_layout";

constexpr char kServer[] = R"(import json, os
import tensorflow as tf
config = json.loads(os.environ["TF_CONFIG"])
tf.distribute.Server(tf.train.ClusterSpec(config["cluster"]), job_name="ps", task_index=config["task"]["index"],
                     config=tf.compat.v1.ConfigProto(device_count={"GPU": 0})).join()
)";

List Addresses(std::span<const std::string> hosts, int port) {
  List addresses;
  for (const std::string& host : hosts) addresses.emplace_back(host + ":" + std::to_string(port));
  return addresses;
}

std::string FirstRole(ClusterLayout layout) { return layout == ClusterLayout::kCoordinated ? "chief" : "master"; }

Dict Cluster(const driver::InstanceSpec& spec, ClusterLayout layout) {
  std::vector<std::string> hosts = ClusterHosts(spec);
  if (layout == ClusterLayout::kMirroredWorkers) return {{"worker", Addresses(hosts, 8890)}};
  return {{FirstRole(layout), Addresses(std::span(hosts).first(1), 2222)},
          {"ps", Addresses(hosts, 2223)},
          {"worker", Addresses(std::span(hosts).subspan(1), 2222)}};
}

std::string Config(const driver::InstanceSpec& spec, ClusterLayout layout, const std::string& role, int index) {
  return PythonValue(Dict{{"cluster", Cluster(spec, layout)},
                          {"environment", "cloud"},
                          {"task", Dict{{"index", index}, {"type", role}}}})
      .Dumps();
}

}  // namespace

std::vector<std::string> ClusterHosts(const driver::InstanceSpec& spec) {
  return DistributionHosts(spec, Hyperparameters::Decode(spec.hyperparameters));
}

int ClusterPlace(const driver::InstanceSpec& spec) {
  std::vector<std::string> hosts = ClusterHosts(spec);
  auto found = std::find(hosts.begin(), hosts.end(), "algo-" + std::to_string(spec.rank + 1));
  return found == hosts.end() ? -1 : static_cast<int>(found - hosts.begin());
}

Result<ClusterLayout> LayoutOf(const driver::InstanceSpec& spec, const Hyperparameters& hyperparameters) {
  bool mirrored = hyperparameters.Enabled("sagemaker_multi_worker_mirrored_strategy_enabled");
  bool servers = hyperparameters.Enabled("sagemaker_parameter_server_enabled");
  std::string name = hyperparameters.Toolkit(kLayoutParameter);
  if (!name.empty() && name != "master" && name != "chief") {
    return Fail(InvalidArgument(
        std::string("The hyperparameter ") + kLayoutParameter +
        " is \"master\" (the hosted layout) or \"chief\" (for ParameterServerStrategy), not \"" + name + "\"."));
  }
  if (mirrored && servers) {
    return Fail(InvalidArgument(
        "The job asks for parameter servers and for multi-worker mirroring; enable one of them in `distribution`."));
  }
  int place = ClusterPlace(spec);
  if (place < 0) return ClusterLayout::kNone;
  if (mirrored) return ClusterLayout::kMirroredWorkers;
  if (!servers || ClusterHosts(spec).size() < 2) return ClusterLayout::kNone;
  return name == "chief" ? ClusterLayout::kCoordinated : ClusterLayout::kParameterServers;
}

bool HasParameterServers(ClusterLayout layout) {
  return layout == ClusterLayout::kParameterServers || layout == ClusterLayout::kCoordinated;
}

std::string TensorFlowConfig(const driver::InstanceSpec& spec, ClusterLayout layout) {
  if (layout == ClusterLayout::kNone) return "";
  int place = ClusterPlace(spec);
  if (layout == ClusterLayout::kMirroredWorkers) return Config(spec, layout, "worker", place);
  if (place == 0) return Config(spec, layout, FirstRole(layout), 0);
  return Config(spec, layout, "worker", place - 1);
}

std::vector<std::string> ParameterServerCommand(const driver::InstanceSpec& spec) {
  return {PythonOf(spec), "-c", kServer};
}

std::vector<std::string> ParameterServerVariables(const driver::InstanceSpec& spec, ClusterLayout layout,
                                                  const std::vector<std::string>& of_program) {
  constexpr std::string_view kPlugin = "SAGEBRUSH_TF_S3_PLUGIN=";
  std::vector<std::string> variables;
  for (const std::string& variable : of_program) {
    // It writes its shards of checkpoints to s3:// as the program would: the plug-in's own directory stays on the path.
    if (variable.starts_with(kPlugin) && variable.size() > kPlugin.size()) {
      std::filesystem::path library(variable.substr(kPlugin.size()));
      variables.push_back("PYTHONPATH=" + library.parent_path().string());
    }
    // A user's json.py is not for the server.
    bool dropped = variable.starts_with("TF_CONFIG=") || variable.starts_with("PYTHONPATH=") ||
                   variable.starts_with("CUDA_VISIBLE_DEVICES=");
    if (!dropped) variables.push_back(variable);
  }
  variables.push_back("TF_CONFIG=" + Config(spec, layout, "ps", ClusterPlace(spec)));
  variables.emplace_back("CUDA_VISIBLE_DEVICES=-1");
  return variables;
}

}  // namespace sagebrush::agent
