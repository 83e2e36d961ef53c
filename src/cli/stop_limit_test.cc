#include "cli/stop_limit.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace sagebrush::cli {
namespace {

TEST(StopLimitDeathTest, AStopThatDoesNotEndIsEndedAndNamed) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  auto hang = [] {
    BeginStopLimit(std::chrono::seconds(1));
    StopReaches("log lines");
    while (true) ::pause();
  };
  EXPECT_EXIT(hang(), testing::ExitedWithCode(1), "engine_stop_overdue\",\"stopping\":\"log lines\"");
}

}  // namespace
}  // namespace sagebrush::cli
