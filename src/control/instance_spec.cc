#include "control/instance_spec.h"

#include <algorithm>
#include <boost/json.hpp>
#include <thread>

#include "base/text.h"
#include "domain/instance_type.h"

namespace sagebrush::control {
namespace {

namespace json = boost::json;
namespace sm = gen::sagemaker;

constexpr char kDefaultGroup[] = "homogeneousCluster";

std::string InputDataConfig(const sm::CreateTrainingJobRequest& request) {
  json::object channels;
  for (const sm::Channel& channel : request.InputDataConfig) {
    json::object entry;
    // FastFile shows plain files; scripts that ask for the mode see what the hosted service writes.
    entry["TrainingInputMode"] = channel.InputMode.value_or(request.AlgorithmSpecification->TrainingInputMode);
    entry["S3DistributionType"] = channel.DataSource.S3DataSource->S3DataDistributionType.value_or("FullyReplicated");
    entry["RecordWrapperType"] = channel.RecordWrapperType.value_or("None");
    if (channel.ContentType) entry["ContentType"] = *channel.ContentType;
    channels[channel.ChannelName] = std::move(entry);
  }
  return json::serialize(channels);
}

std::string ResourceConfig(const std::string& instance_type, int rank, int count) {
  json::array hosts;
  std::vector<std::string> names;
  for (int i = 1; i <= count; ++i) names.push_back("algo-" + std::to_string(i));
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) hosts.emplace_back(name);
  json::object group{{"instance_group_name", kDefaultGroup}, {"instance_type", instance_type}, {"hosts", hosts}};
  return json::serialize(json::object{{"current_host", "algo-" + std::to_string(rank + 1)},
                                      {"current_instance_type", instance_type},
                                      {"current_group_name", kDefaultGroup},
                                      {"hosts", hosts},
                                      {"instance_groups", json::array{std::move(group)}},
                                      {"network_interface_name", "eth0"}});
}

}  // namespace

InstanceId InstanceIdOf(const JobName& job, int attempt, int rank) {
  return InstanceId(job.value() + "." + std::to_string(attempt) + "." + std::to_string(rank));
}

Result<InstanceIdParts> ParseInstanceId(const InstanceId& id) {
  std::vector<std::string_view> parts = Split(id.value(), '.');
  std::optional<int64_t> attempt, rank;
  if (parts.size() == 3) {
    attempt = ParseInt(parts[1]);
    rank = ParseInt(parts[2]);
  }
  if (!attempt || !rank) return Fail(InvalidArgument("'" + id.value() + "' is no instance id"));
  return InstanceIdParts{JobName(std::string(parts[0])), static_cast<int>(*attempt), static_cast<int>(*rank)};
}

Result<driver::InstanceSpec> InstanceSpecOf(const TrainingJobRecord& record, const std::string& job_arn, int rank) {
  const sm::CreateTrainingJobRequest& request = record.request;
  const std::string& type_name = *request.ResourceConfig->InstanceType;
  TRY(domain::InstanceType type, domain::ParseInstanceType(type_name));
  if (type.gpus > 0) {
    return Fail(InvalidArgument("ClientError: " + type_name + " stands for " + std::to_string(type.gpus) +
                                " GPU(s), and Sagebrush runs on CPUs. Use a CPU type such as ml.m5.xlarge."));
  }
  driver::InstanceSpec spec;
  spec.job = JobName(request.TrainingJobName);
  spec.id = InstanceIdOf(spec.job, record.state.attempt, rank);
  spec.job_arn = job_arn;
  spec.rank = rank;
  spec.count = static_cast<int>(*request.ResourceConfig->InstanceCount);
  spec.instance_type = type_name;
  // A type larger than this machine gets all of it.
  spec.limits.vcpus = std::min(type.vcpus, static_cast<double>(std::max(1u, std::thread::hardware_concurrency())));
  spec.limits.memory_bytes = type.memory_bytes;
  spec.hyperparameters = request.HyperParameters;
  spec.input_data_config_json = InputDataConfig(request);
  spec.resource_config_json = ResourceConfig(type_name, rank, spec.count);
  spec.entrypoint = request.AlgorithmSpecification->ContainerEntrypoint;
  spec.arguments = request.AlgorithmSpecification->ContainerArguments;
  spec.network_isolation = request.EnableNetworkIsolation.value_or(false);
  spec.compress_model = request.OutputDataConfig.CompressionType.value_or("GZIP") != "NONE";
  return spec;
}

}  // namespace sagebrush::control
