#include "control/instance_groups.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <boost/json.hpp>

#include "control/instance_spec.h"
#include "control/test_request.h"

namespace sagebrush::control {
namespace {

namespace sm = gen::sagemaker;
using testing::ElementsAre;

sm::CreateTrainingJobRequest Heterogeneous() {
  sm::CreateTrainingJobRequest request = TestRequest("job");
  request.ResourceConfig =
      sm::ResourceConfig{.InstanceGroups = {{"ml.c5.2xlarge", 1, "data"}, {"ml.m5.large", 2, "train"}}};
  return request;
}

driver::InstanceSpec SpecOf(const sm::CreateTrainingJobRequest& request, int rank) {
  return *InstanceSpecOf({request, domain::NewTrainingJobState(1)}, GangOf(request), "arn", rank);
}

TEST(InstanceGroups, FollowEachOtherInTheOrderOfTheRequest) {
  sm::CreateTrainingJobRequest request = Heterogeneous();
  ASSERT_TRUE(CheckInstances(request));
  std::vector<InstanceGroup> groups = InstanceGroupsOf(request);
  EXPECT_EQ(InstanceCountOf(request), 3);
  EXPECT_EQ(GroupOfRank(groups, 0).name, "data");
  EXPECT_EQ(GroupOfRank(groups, 1).name, "train");
  EXPECT_EQ(GroupOfRank(groups, 2).name, "train");
  EXPECT_EQ(VcpusOf(request), 8 + 2 * 2);
  EXPECT_EQ(InstanceGroupsOf(TestRequest("job"))[0].name, "homogeneousCluster");
  EXPECT_EQ(InstanceCountOf(TestRequest("job")), 1);
}

TEST(InstanceGroups, EachInstanceHasTheLimitsAndTheDescriptionOfItsGroup) {
  driver::InstanceSpec data = SpecOf(Heterogeneous(), 0), train = SpecOf(Heterogeneous(), 2);
  EXPECT_EQ(data.instance_type, "ml.c5.2xlarge");
  EXPECT_EQ(train.instance_type, "ml.m5.large");
  EXPECT_EQ(data.limits.memory_bytes, int64_t{16} << 30);
  EXPECT_EQ(train.limits.memory_bytes, int64_t{8} << 30);
  EXPECT_EQ(train.count, 3);
  EXPECT_TRUE(train.held);
  EXPECT_EQ(boost::json::parse(train.resource_config_json), boost::json::parse(R"({
      "current_host": "algo-3", "current_instance_type": "ml.m5.large", "current_group_name": "train",
      "hosts": ["algo-1", "algo-2", "algo-3"],
      "instance_groups": [
        {"instance_group_name": "data", "instance_type": "ml.c5.2xlarge", "hosts": ["algo-1"]},
        {"instance_group_name": "train", "instance_type": "ml.m5.large", "hosts": ["algo-2", "algo-3"]}],
      "network_interface_name": "eth0"})"));
}

TEST(InstanceGroups, AChannelOfOtherGroupsIsNotDescribed) {
  sm::CreateTrainingJobRequest request = Heterogeneous();
  request.InputDataConfig[0].DataSource.S3DataSource->InstanceGroupNames = {"train"};
  ASSERT_TRUE(CheckInstances(request));
  EXPECT_EQ(SpecOf(request, 0).input_data_config_json, "{}");
  EXPECT_THAT(SpecOf(request, 1).input_data_config_json, testing::HasSubstr("train"));
}

RC_GTEST_PROP(InstanceGroupsProperty, TheInstancesThatSeeAChannelDivideItWithoutGapOrOverlap, ()) {
  sm::CreateTrainingJobRequest request = TestRequest("job");
  auto counts = *rc::gen::container<std::vector<int>>(*rc::gen::inRange<size_t>(1, 6), rc::gen::inRange(1, 5));
  sm::Channel& channel = request.InputDataConfig[0];
  request.ResourceConfig = sm::ResourceConfig{};
  for (size_t i = 0; i < counts.size(); ++i) {
    std::string name = "g" + std::to_string(i);
    request.ResourceConfig->InstanceGroups.push_back({"ml.m5.large", counts[i], name});
    if (*rc::gen::arbitrary<bool>()) channel.DataSource.S3DataSource->InstanceGroupNames.push_back(name);
  }
  RC_ASSERT(CheckInstances(request).has_value());
  std::vector<InstanceGroup> groups = InstanceGroupsOf(request);
  const std::vector<std::string>& names = channel.DataSource.S3DataSource->InstanceGroupNames;
  std::vector<int> positions;
  int expected = 0;
  for (int rank = 0; rank < InstanceCountOf(request); ++rank) {
    const std::string& group = GroupOfRank(groups, rank).name;
    bool named = names.empty() || std::find(names.begin(), names.end(), group) != names.end();
    ChannelShare share = ShareOf(channel, groups, rank);
    RC_ASSERT((share.count > 0) == named);
    if (!named) continue;
    RC_ASSERT(share.position == expected++);
    positions.push_back(share.count);
  }
  for (int count : positions) RC_ASSERT(count == expected);
}

}  // namespace
}  // namespace sagebrush::control
