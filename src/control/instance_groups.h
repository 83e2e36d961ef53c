#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "domain/instance_type.h"
#include "gen/sagemaker.h"

namespace sagebrush::control {

// The name that a job without InstanceGroups gives its one group.
inline constexpr char kDefaultInstanceGroup[] = "homogeneousCluster";

// Instances of one type: the ranks [first_rank, first_rank + count). Groups follow each other in the order of the
// request, so that algo-1 is the first instance of the first group.
struct InstanceGroup {
  std::string name;
  std::string type;
  int first_rank = 0;
  int count = 0;
};

// One group, named kDefaultInstanceGroup, unless the request has InstanceGroups. The request has been checked.
std::vector<InstanceGroup> InstanceGroupsOf(const gen::sagemaker::CreateTrainingJobRequest& request);
int InstanceCountOf(const gen::sagemaker::CreateTrainingJobRequest& request);
// The group of a rank of the job.
const InstanceGroup& GroupOfRank(const std::vector<InstanceGroup>& groups, int rank);
// vCPUs of all instances; a type larger than the machine counts as what it is called.
double VcpusOf(const gen::sagemaker::CreateTrainingJobRequest& request);

// Which of the instances that see a channel (S3DataSource.InstanceGroupNames; all when it names none) `rank` is, for
// the share it gets of a sharded channel. count 0: `rank` does not see the channel.
struct ChannelShare {
  int position = 0;
  int count = 0;
};
ChannelShare ShareOf(const gen::sagemaker::Channel& channel, const std::vector<InstanceGroup>& groups, int rank);

// Types, counts and names, and that channels name groups of the job. Code ValidationException.
Result<void> CheckInstances(const gen::sagemaker::CreateTrainingJobRequest& request);

}  // namespace sagebrush::control
