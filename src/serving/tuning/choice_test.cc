#include "serving/tuning/choice.h"

#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

namespace sagebrush::serving {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr TensorFlowSetting kOn{.onednn = true}, kOff{.onednn = false};

Trial Measured(TensorFlowSetting setting, std::vector<std::pair<double, double>> speeds) {
  Trial trial{.setting = setting};
  for (auto [latency_ms, rows] : speeds) trial.speeds.push_back({"m", latency_ms, rows});
  return trial;
}

TEST(TuningChoice, TriesKernelsAndThreadsAndThenOperationsSideBySide) {
  EXPECT_THAT(FirstSettings({.cores = 4}),
              ElementsAre(kOn, kOff, TensorFlowSetting{true, 4, -1}, TensorFlowSetting{false, 4, -1}));
  EXPECT_THAT(FurtherSettings({false, 4, -1}, {.cores = 4}), ElementsAre(TensorFlowSetting{false, 4, 4}));
}

TEST(TuningChoice, OnOneCoreOnlyKernelsDiffer) {
  EXPECT_THAT(FirstSettings({.cores = 1}), ElementsAre(kOn, kOff));
  EXPECT_THAT(FurtherSettings(kOff, {.cores = 1}), IsEmpty());
}

TEST(TuningChoice, KeepsWhatTheUserHasSet) {
  EXPECT_THAT(FirstSettings({.onednn = false, .cores = 2}), ElementsAre(kOff, TensorFlowSetting{false, 2, -1}));
  TuningSpace threads{.intra_op_threads = 3, .inter_op_threads = 2, .cores = 8};
  EXPECT_THAT(FirstSettings(threads), ElementsAre(TensorFlowSetting{true, 3, 2}, TensorFlowSetting{false, 3, 2}));
  EXPECT_THAT(FurtherSettings({true, 3, 2}, threads), IsEmpty());
}

// The small network of the tests: oneDNN loses at one row and wins at many.
TEST(TuningChoice, TheGoalDecidesWhereOneRowAndManyDiffer) {
  std::vector<Trial> trials{Measured(kOn, {{0.30, 10'000}}), Measured(kOff, {{0.16, 8'000}})};
  EXPECT_EQ(Best(trials, TuningGoal::kLatency)->setting, kOff);
  EXPECT_EQ(Best(trials, TuningGoal::kThroughput)->setting, kOn);
  EXPECT_EQ(Best(trials, TuningGoal::kBalanced)->setting, kOff) << "twice as fast outweighs a fifth";
}

TEST(TuningChoice, ALargeModelCountsNoMoreThanASmallOne) {
  std::vector<Trial> trials{Measured(kOn, {{0.1, 1000}, {100, 10}}), Measured(kOff, {{0.05, 2000}, {130, 8}})};
  EXPECT_EQ(Best(trials, TuningGoal::kLatency)->setting, kOff);
}

TEST(TuningChoice, WhatDiffersByLessThanNoiseGoesToTheSimplerSetting) {
  std::vector<Trial> trials{Measured(kOn, {{1.0, 1000}}), Measured({true, 4, -1}, {{0.99, 1010}})};
  EXPECT_EQ(Best(trials, TuningGoal::kBalanced)->setting, kOn);
}

TEST(TuningChoice, WhatDiedIsNeverChosen) {
  std::vector<Trial> trials{Measured(kOn, {{0.1, 9999}}), Measured(kOff, {{5, 1}})};
  trials[0].unusable = "it ended with code 139";
  EXPECT_EQ(Best(trials, TuningGoal::kBalanced)->setting, kOff);
  trials[1].speeds.clear();
  EXPECT_EQ(Best(trials, TuningGoal::kBalanced), nullptr);
}

RC_GTEST_PROP(TuningChoice, NoUsableTrialIsBetterByMoreThanTheIndifference, ()) {
  auto speeds = *rc::gen::nonEmpty(rc::gen::container<std::vector<std::pair<int, int>>>(
      rc::gen::pair(rc::gen::inRange(1, 1000), rc::gen::inRange(1, 1000))));
  std::vector<Trial> trials;
  for (auto [latency, rows] : speeds) trials.push_back(Measured(kOn, {{latency, rows}}));
  const Trial* best = Best(trials, TuningGoal::kThroughput);
  RC_ASSERT(best != nullptr);
  for (const Trial& trial : trials) {
    RC_ASSERT(trial.speeds[0].rows_per_second * (1 - kIndifference) <= best->speeds[0].rows_per_second * 1.000001);
  }
}

}  // namespace
}  // namespace sagebrush::serving
