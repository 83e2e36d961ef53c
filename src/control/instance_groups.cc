#include "control/instance_groups.h"

#include <algorithm>
#include <set>

#include "base/check.h"

namespace sagebrush::control {
namespace {

namespace sm = gen::sagemaker;

constexpr int64_t kMostInstances = 1000;

Error Invalid(std::string message) { return InvalidArgument(std::move(message), "ValidationException"); }

Result<void> CheckType(const std::string& name) {
  Result<domain::InstanceType> type = domain::ParseInstanceType(name);
  if (!type) return Fail(Invalid(type.error().message));
  return {};
}

Result<void> CheckGroups(const sm::ResourceConfig& resources) {
  if (resources.InstanceType || resources.InstanceCount) {
    return Fail(
        Invalid("ResourceConfig.InstanceGroups excludes InstanceType and InstanceCount: each group has its own."));
  }
  std::set<std::string> names;
  int64_t instances = 0;
  for (const sm::InstanceGroup& group : resources.InstanceGroups) {
    std::string field = "ResourceConfig.InstanceGroups '" + group.InstanceGroupName + "': ";
    if (!names.insert(group.InstanceGroupName).second) return Fail(Invalid(field + "two groups have this name."));
    if (group.InstanceCount < 1) return Fail(Invalid(field + "InstanceCount must be at least 1."));
    TRYV(CheckType(group.InstanceType));
    instances += std::min(group.InstanceCount, kMostInstances + 1);
  }
  if (instances <= kMostInstances) return {};
  return Fail(
      Invalid("ResourceConfig.InstanceGroups: a job has at most " + std::to_string(kMostInstances) + " instances."));
}

Result<void> CheckChannelGroups(const sm::CreateTrainingJobRequest& request) {
  std::set<std::string> known;
  for (const sm::InstanceGroup& group : request.ResourceConfig->InstanceGroups) known.insert(group.InstanceGroupName);
  for (const sm::Channel& channel : request.InputDataConfig) {
    if (!channel.DataSource.S3DataSource) continue;
    std::set<std::string> named;
    for (const std::string& name : channel.DataSource.S3DataSource->InstanceGroupNames) {
      std::string field = "InputDataConfig channel '" + channel.ChannelName + "': InstanceGroupNames ";
      if (!named.insert(name).second) return Fail(Invalid(field + "has '" + name + "' twice."));
      if (known.contains(name)) continue;
      return Fail(Invalid(field + "has '" + name + "', which is no group of ResourceConfig.InstanceGroups."));
    }
  }
  return {};
}

}  // namespace

std::vector<InstanceGroup> InstanceGroupsOf(const sm::CreateTrainingJobRequest& request) {
  const sm::ResourceConfig& resources = *request.ResourceConfig;
  if (resources.InstanceGroups.empty()) {
    return {{kDefaultInstanceGroup, resources.InstanceType.value_or(""), 0,
             static_cast<int>(resources.InstanceCount.value_or(1))}};
  }
  std::vector<InstanceGroup> groups;
  int rank = 0;
  for (const sm::InstanceGroup& group : resources.InstanceGroups) {
    int count = static_cast<int>(group.InstanceCount);
    groups.push_back({group.InstanceGroupName, group.InstanceType, rank, count});
    rank += count;
  }
  return groups;
}

int InstanceCountOf(const sm::CreateTrainingJobRequest& request) {
  const std::vector<InstanceGroup> groups = InstanceGroupsOf(request);
  return groups.back().first_rank + groups.back().count;
}

const InstanceGroup& GroupOfRank(const std::vector<InstanceGroup>& groups, int rank) {
  auto found = std::find_if(groups.begin(), groups.end(), [rank](const InstanceGroup& group) {
    return rank >= group.first_rank && rank < group.first_rank + group.count;
  });
  CHECK(found != groups.end());
  return *found;
}

double VcpusOf(const sm::CreateTrainingJobRequest& request) {
  double vcpus = 0;
  for (const InstanceGroup& group : InstanceGroupsOf(request)) {
    Result<domain::InstanceType> type = domain::ParseInstanceType(group.type);
    vcpus += (type ? type->vcpus : 1) * group.count;
  }
  return vcpus;
}

ChannelShare ShareOf(const sm::Channel& channel, const std::vector<InstanceGroup>& groups, int rank) {
  const std::vector<std::string>& names = channel.DataSource.S3DataSource->InstanceGroupNames;
  ChannelShare share;
  bool sees = false;
  for (const InstanceGroup& group : groups) {
    if (!names.empty() && std::find(names.begin(), names.end(), group.name) == names.end()) continue;
    if (rank >= group.first_rank && rank < group.first_rank + group.count) {
      sees = true;
      share.position = share.count + rank - group.first_rank;
    }
    share.count += group.count;
  }
  return sees ? share : ChannelShare{};
}

Result<void> CheckInstances(const sm::CreateTrainingJobRequest& request) {
  const sm::ResourceConfig& resources = *request.ResourceConfig;
  if (!resources.InstanceGroups.empty()) {
    TRYV(CheckGroups(resources));
    return CheckChannelGroups(request);
  }
  if (!resources.InstanceType || !resources.InstanceCount) {
    return Fail(Invalid("ResourceConfig needs InstanceType and InstanceCount, or InstanceGroups."));
  }
  if (*resources.InstanceCount < 1 || *resources.InstanceCount > kMostInstances) {
    return Fail(Invalid("ResourceConfig.InstanceCount must be from 1 to " + std::to_string(kMostInstances) + "."));
  }
  TRYV(CheckType(*resources.InstanceType));
  return CheckChannelGroups(request);
}

}  // namespace sagebrush::control
