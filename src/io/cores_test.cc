#include "io/cores.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <fstream>
#include <thread>

#include "base/random.h"

namespace sagebrush::io {
namespace {

class CoresTest : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(cgroup_ / "cpu"); }
  void TearDown() override { std::filesystem::remove_all(cgroup_); }
  void Write(const std::string& file, const std::string& text) { std::ofstream(cgroup_ / file) << text; }

  std::filesystem::path cgroup_ = std::filesystem::temp_directory_path() / ("cores-" + RandomHex(8));
};

TEST_F(CoresTest, FollowsTheAffinityMask) {
  int cores = UsableCores(cgroup_);
  EXPECT_GE(cores, 1);
  int pinned = 0;
  std::thread([&] {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<size_t>(::sched_getcpu()), &set);
    ASSERT_EQ(::sched_setaffinity(0, sizeof set, &set), 0);
    pinned = UsableCores(cgroup_);
  }).join();
  EXPECT_EQ(pinned, 1);
}

TEST_F(CoresTest, FollowsTheQuotaOfBothVersions) {
  int cores = UsableCores(cgroup_);
  Write("cpu.max", "max 100000\n");
  EXPECT_EQ(UsableCores(cgroup_), cores);
  Write("cpu.max", "50000 100000\n");
  EXPECT_EQ(UsableCores(cgroup_), 1);
  std::filesystem::remove(cgroup_ / "cpu.max");
  Write("cpu/cpu.cfs_period_us", "100000\n");
  Write("cpu/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(UsableCores(cgroup_), cores);
  Write("cpu/cpu.cfs_quota_us", "100000\n");
  EXPECT_EQ(UsableCores(cgroup_), 1);
}

}  // namespace
}  // namespace sagebrush::io
