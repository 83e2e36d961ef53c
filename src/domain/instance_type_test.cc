#include "domain/instance_type.h"

#include <gtest/gtest.h>

namespace sagebrush::domain {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

TEST(InstanceType, KnowsSizesByFamily) {
  struct Case {
    const char* name;
    double vcpus;
    int64_t gib;
    int gpus;
  };
  for (const Case& c : {Case{"ml.m5.large", 2, 8, 0}, Case{"ml.m5.24xlarge", 96, 384, 0}, Case{"ml.c5.xlarge", 4, 8, 0},
                        Case{"ml.r5.2xlarge", 8, 64, 0}, Case{"ml.t3.medium", 2, 4, 0}, Case{"ml.p3.2xlarge", 8, 64, 1},
                        Case{"ml.g4dn.xlarge", 4, 16, 1}}) {
    Result<InstanceType> type = ParseInstanceType(c.name);
    ASSERT_TRUE(type) << c.name;
    EXPECT_EQ(type->vcpus, c.vcpus) << c.name;
    EXPECT_EQ(type->memory_bytes, c.gib * kGiB) << c.name;
    EXPECT_EQ(type->gpus, c.gpus) << c.name;
  }
}

TEST(InstanceType, RefusesOthersByName) {
  for (const char* name : {"", "m5.large", "ml.m5", "ml.m5.huge", "ml..large", "ml.m5.0xlarge", "ml.trn1.2xlarge"}) {
    Result<InstanceType> type = ParseInstanceType(name);
    ASSERT_FALSE(type) << name;
    EXPECT_NE(type.error().message.find(name), std::string::npos);
  }
}

TEST(InstanceType, CpuTypesAreThoseWithoutGpus) {
  EXPECT_EQ(ParseCpuInstanceType("ml.c5.xlarge")->vcpus, 4);
  for (const char* name : {"ml.g4dn.xlarge", "ml.p3.8xlarge", "ml.trn1.2xlarge", "large"}) {
    Result<InstanceType> type = ParseCpuInstanceType(name);
    ASSERT_FALSE(type) << name;
    EXPECT_NE(type.error().message.find(name), std::string::npos);
  }
}

}  // namespace
}  // namespace sagebrush::domain
