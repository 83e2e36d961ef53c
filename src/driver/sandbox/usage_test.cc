#include "driver/sandbox/usage.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <ctime>

namespace sagebrush::driver {
namespace {

TEST(Usage, OfAProcessAndThoseBelowIt) {
  std::vector<char> ballast(32 << 20, 'x');
  asm volatile("" : : "r"(ballast.data()) : "memory");  // or the compiler leaves it out
  std::clock_t begun = std::clock();
  while (std::clock() - begun < CLOCKS_PER_SEC / 20) {
  }
  InstanceUsage own = UsageOfProcesses(::getpid());
  EXPECT_GE(own.cpu_ns, 40'000'000);
  EXPECT_GE(own.memory_bytes, static_cast<int64_t>(ballast.size()));
  EXPECT_GE(UsageOfProcesses(::getppid()).memory_bytes, own.memory_bytes) << "this process is below its parent";
  InstanceUsage none = UsageOfProcesses(1 << 30);
  EXPECT_EQ(none.cpu_ns, 0);
  EXPECT_EQ(none.memory_bytes, 0);
}

TEST(Usage, OfTheDiskLeavesOutWhatIsStaged) {
  char pattern[] = "/tmp/sagebrush-usage-XXXXXX";
  InstanceFiles files{::mkdtemp(pattern)};
  EXPECT_EQ(DiskUsage(files), 0);
  std::string content(1 << 20, 'x');
  for (const std::filesystem::path& path :
       {files.root() / "up/tmp/a", files.root() / "layers/train/up/b", files.ml() / "model/c", files.staged() / "d"}) {
    std::filesystem::create_directories(path.parent_path());
    ASSERT_TRUE(io::WriteFile(path, content));
  }
  std::filesystem::path deep = files.ml() / "model";
  for (int level = 0; level < 100; ++level) deep /= "d";
  std::filesystem::create_directories(deep);
  ASSERT_TRUE(io::WriteFile(deep / "e", content));
  int64_t bytes = DiskUsage(files);
  EXPECT_GE(bytes, 3 << 20);
  EXPECT_LT(bytes, 4 << 20);
  std::filesystem::remove_all(files.directory);
}

}  // namespace
}  // namespace sagebrush::driver
