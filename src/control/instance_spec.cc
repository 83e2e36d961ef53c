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

// Of the channels that this rank sees.
std::string InputDataConfig(const sm::CreateTrainingJobRequest& request, const std::vector<InstanceGroup>& groups,
                            int rank) {
  json::object channels;
  for (const sm::Channel& channel : request.InputDataConfig) {
    if (ShareOf(channel, groups, rank).count == 0) continue;
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

json::array HostNames(int first_rank, int count) {
  std::vector<std::string> names;
  for (int rank = first_rank; rank < first_rank + count; ++rank) names.push_back("algo-" + std::to_string(rank + 1));
  std::sort(names.begin(), names.end());
  return json::array(names.begin(), names.end());
}

std::string ResourceConfig(const Gang& gang, int rank) {
  const InstanceGroup& own = GroupOfRank(gang.groups, rank);
  json::object current{{"current_host", "algo-" + std::to_string(rank + 1)},
                       {"current_instance_type", own.type},
                       {"current_group_name", own.name},
                       {"network_interface_name", "eth0"}};
  std::string text = json::serialize(current);
  text.back() = ',';  // the object goes on
  return text + R"("hosts":)" + gang.hosts_json + R"(,"instance_groups":)" + gang.groups_json + "}";
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

Gang GangOf(const sm::CreateTrainingJobRequest& request) {
  Gang gang;
  gang.groups = InstanceGroupsOf(request);
  gang.count = InstanceCountOf(request);
  gang.hosts_json = json::serialize(HostNames(0, gang.count));
  json::array described;
  for (const InstanceGroup& group : gang.groups) {
    described.push_back(json::object{{"instance_group_name", group.name},
                                     {"instance_type", group.type},
                                     {"hosts", HostNames(group.first_rank, group.count)}});
  }
  gang.groups_json = json::serialize(described);
  return gang;
}

Result<driver::InstanceSpec> InstanceSpecOf(const TrainingJobRecord& record, const Gang& gang,
                                            const std::string& job_arn, int rank) {
  const sm::CreateTrainingJobRequest& request = record.request;
  const std::string& type_name = GroupOfRank(gang.groups, rank).type;
  Result<domain::InstanceType> type = domain::ParseCpuInstanceType(type_name);
  if (!type) return Fail(std::move(type).error().Because("ClientError"));
  driver::InstanceSpec spec;
  spec.job = JobName(request.TrainingJobName);
  spec.id = InstanceIdOf(spec.job, record.state.attempt, rank);
  spec.job_arn = job_arn;
  spec.rank = rank;
  spec.count = gang.count;
  spec.held = spec.count > 1;  // the programs of a gang begin together
  spec.instance_type = type_name;
  // A type larger than this machine gets all of it.
  spec.limits.vcpus = std::min(type->vcpus, static_cast<double>(std::max(1u, std::thread::hardware_concurrency())));
  spec.limits.memory_bytes = type->memory_bytes;
  spec.hyperparameters = request.HyperParameters;
  spec.input_data_config_json = InputDataConfig(request, gang.groups, rank);
  spec.resource_config_json = ResourceConfig(gang, rank);
  spec.entrypoint = request.AlgorithmSpecification->ContainerEntrypoint;
  spec.arguments = request.AlgorithmSpecification->ContainerArguments;
  spec.network_isolation = request.EnableNetworkIsolation.value_or(false);
  spec.compress_model = request.OutputDataConfig.CompressionType.value_or("GZIP") != "NONE";
  return spec;
}

void AddEngineAccess(const wire::Credentials& credentials, const std::string& region,
                     const std::filesystem::path& ca_bundle, driver::InstanceSpec& spec) {
  spec.variables["AWS_ACCESS_KEY_ID"] = credentials.access_key;
  spec.variables["AWS_SECRET_ACCESS_KEY"] = credentials.secret;
  spec.variables["AWS_DEFAULT_REGION"] = spec.variables["AWS_REGION"] = region;
  spec.variables["AWS_ENDPOINT_URL"] = driver::kEngineEndpoint;
  spec.variables["AWS_EC2_METADATA_DISABLED"] = "true";
  if (ca_bundle.empty()) return;
  spec.environment.read_only.push_back(ca_bundle);
  spec.variables["AWS_CA_BUNDLE"] = spec.variables["REQUESTS_CA_BUNDLE"] = ca_bundle.string();
}

}  // namespace sagebrush::control
