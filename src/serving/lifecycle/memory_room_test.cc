#include "serving/lifecycle/memory_room.h"

#include <gmock/gmock.h>

#include "io/file.h"

namespace sagebrush::serving {
namespace {

constexpr int64_t kMib = 1024 * 1024;

class MemoryRoomTest : public ::testing::Test {
 protected:
  MemoryRoomTest() {
    char name[] = "/tmp/sagebrush-room-XXXXXX";
    root_ = ::mkdtemp(name);
    Put("proc/meminfo", "MemTotal:       9000 kB\nMemFree:         100 kB\nMemAvailable:   8192 kB\n");
  }
  ~MemoryRoomTest() override { std::filesystem::remove_all(root_); }
  void Put(const std::string& path, const std::string& content) {
    ASSERT_TRUE(io::MakeDirectories((root_ / path).parent_path()));
    ASSERT_TRUE(io::WriteFile(root_ / path, content));
  }

  std::filesystem::path root_;
};

TEST_F(MemoryRoomTest, IsTheMachinesWhereNothingLimitsIt) {
  EXPECT_EQ(AvailableMemory(root_), 8 * kMib);
  Put("proc/self/cgroup", "0::/a/b\n");
  Put("sys/fs/cgroup/a/b/memory.max", "max\n");
  Put("sys/fs/cgroup/a/b/memory.current", "123\n");
  EXPECT_EQ(AvailableMemory(root_), 8 * kMib);
  EXPECT_EQ(AvailableMemory(root_ / "nothing"), std::nullopt);
}

TEST_F(MemoryRoomTest, IsTheGroupsAboveThatLeavesTheLeast) {
  Put("proc/self/cgroup", "1:cpu:/x\n0::/a/b\n");
  Put("sys/fs/cgroup/a/b/memory.max", std::to_string(7 * kMib));
  Put("sys/fs/cgroup/a/b/memory.current", std::to_string(kMib));
  Put("sys/fs/cgroup/a/memory.max", std::to_string(6 * kMib));
  Put("sys/fs/cgroup/a/memory.current", std::to_string(5 * kMib));
  // Page cache is given back when memory is needed.
  Put("sys/fs/cgroup/a/memory.stat",
      "anon 9\nfile 9\ninactive_file " + std::to_string(kMib) + "\nactive_file " + std::to_string(kMib) + "\n");
  EXPECT_EQ(AvailableMemory(root_), 3 * kMib);
}

TEST_F(MemoryRoomTest, ReadsTheFirstVersionOfGroupsAndARootOfAContainersOwn) {
  Put("proc/self/cgroup", "4:memory:/seen/by/the/host\n0::/\n");
  Put("sys/fs/cgroup/memory/memory.limit_in_bytes", std::to_string(5 * kMib));
  Put("sys/fs/cgroup/memory/memory.usage_in_bytes", std::to_string(3 * kMib));
  EXPECT_EQ(AvailableMemory(root_), 2 * kMib);
}

TEST_F(MemoryRoomTest, AModelTakesItsGraphAndVariables) {
  Put("1/saved_model.pb", std::string(100, 'x'));
  Put("1/variables/variables.data-00000-of-00001", std::string(1000, 'x'));
  Put("1/variables/variables.index", std::string(10, 'x'));
  Put("1/assets/words.txt", std::string(5000, 'x'));
  EXPECT_EQ(SavedModelBytes(root_ / "1"), 1110);
  EXPECT_EQ(SavedModelBytes(root_ / "2"), 0);
}

}  // namespace
}  // namespace sagebrush::serving
