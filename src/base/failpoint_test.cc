#include "base/failpoint.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/check.h"
#include "base/random.h"

namespace sagebrush {
namespace {

#ifdef SAGEBRUSH_FAILPOINTS

// Death tests: each statement runs in a process of its own, where the environment is read afresh.
class FailpointDeathTest : public testing::Test {
 protected:
  FailpointDeathTest() { testing::FLAGS_gtest_death_test_style = "threadsafe"; }
  ~FailpointDeathTest() override {
    unsetenv("SAGEBRUSH_FAILPOINT");
    unsetenv("SAGEBRUSH_FAILPOINT_LOG");
  }
};

void PassThrough() {
  FAILPOINT("other");
  FAILPOINT("target");
  FAILPOINT("target");
  _exit(3);
}

TEST_F(FailpointDeathTest, NothingHappensWithoutTheVariable) {
  EXPECT_EXIT(PassThrough(), testing::ExitedWithCode(3), "");
}

TEST_F(FailpointDeathTest, KillsAtTheNthPassageOfItsNameOnly) {
  auto run = [](const char* spec) {
    setenv("SAGEBRUSH_FAILPOINT", spec, 1);
    PassThrough();
  };
  EXPECT_EXIT(run("target"), testing::KilledBySignal(SIGKILL), "");
  EXPECT_EXIT(run("target@2"), testing::KilledBySignal(SIGKILL), "");
  EXPECT_EXIT(run("target@3"), testing::ExitedWithCode(3), "");
  EXPECT_EXIT(run("absent"), testing::ExitedWithCode(3), "");
}

TEST_F(FailpointDeathTest, TheLogNamesEveryPassageUpToTheEnd) {
  std::filesystem::path log = std::filesystem::temp_directory_path() / ("failpoints-" + RandomHex(8));
  // The child of a thread-safe death test runs this test body again: it must take the parent's file.
  if (const char* inherited = std::getenv("SAGEBRUSH_FAILPOINT_LOG")) log = inherited;
  setenv("SAGEBRUSH_FAILPOINT_LOG", log.c_str(), 1);
  setenv("SAGEBRUSH_FAILPOINT", "target@2", 1);
  EXPECT_EXIT(PassThrough(), testing::KilledBySignal(SIGKILL), "");
  std::ifstream file(log);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  EXPECT_EQ(text, "other\ntarget\ntarget\n");
  std::filesystem::remove(log);
}

#endif

TEST(CheckDeathTest, ABrokenInvariantAbortsAndNamesItself) {
  int one = 1;
  CHECK(one == 1);
  EXPECT_DEATH(CHECK(one == 2), "one == 2");
}

}  // namespace
}  // namespace sagebrush
