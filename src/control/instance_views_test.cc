#include "control/instance_views.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "control/instance_spec.h"
#include "driver/fake/fake_driver.h"

namespace sagebrush::control {
namespace {

using driver::Phase;
using Seen = domain::ObservedInstance::Phase;

class InstanceViewsTest : public testing::Test {
 protected:
  InstanceViewsTest() {
    char pattern[] = "/tmp/sagebrush-views-XXXXXX";
    directory_ = ::mkdtemp(pattern);
    machine_ = std::make_shared<driver::FakeMachine>(directory_);
    driver_ = std::make_unique<driver::FakeDriver>(machine_);
    views_.emplace(*driver_);
  }
  ~InstanceViewsTest() override { std::filesystem::remove_all(directory_); }
  void Start(int rank) {
    driver::InstanceSpec spec;
    spec.id = InstanceIdOf(job_, 1, rank);
    spec.job = job_;
    spec.epoch = Epoch{1};
    spec.rank = rank;
    spec.count = kCount;
    ASSERT_TRUE(driver_->Start(spec));
  }
  std::vector<domain::ObservedInstance> Look(bool whole = false, bool ran = false) {
    return views_->Look(job_, 1, kCount, ran, whole);
  }

  static constexpr int kCount = 100;
  JobName job_{"job"};
  std::filesystem::path directory_;
  std::shared_ptr<driver::FakeMachine> machine_;
  std::unique_ptr<driver::FakeDriver> driver_;
  std::optional<InstanceViews> views_;
};

TEST_F(InstanceViewsTest, NewsOfOneInstanceCostOneLook) {
  Start(7);
  EXPECT_EQ(Look()[7].phase, Seen::kStarting);
  int64_t before = machine_->inspections();
  machine_->AdvanceTo(InstanceIdOf(job_, 1, 7), Phase::kTraining);
  views_->Hint(job_, 7);
  EXPECT_EQ(Look()[7].phase, Seen::kTraining);
  EXPECT_LE(machine_->inspections() - before, 1);
}

TEST_F(InstanceViewsTest, WhatTheCallerDidIsSeen) {
  Look();
  Start(3);
  views_->Changed(job_, 3);
  EXPECT_EQ(Look()[3].phase, Seen::kStarting);
}

TEST_F(InstanceViewsTest, AWholeLookFindsWhatNoHintTold) {
  for (int rank : {1, 2}) Start(rank);
  Look();
  machine_->Lose(InstanceIdOf(job_, 1, 2));
  EXPECT_EQ(Look(true)[2].phase, Seen::kLost);
  ASSERT_TRUE(driver_->Destroy(InstanceIdOf(job_, 1, 1)));
  EXPECT_EQ(Look(true)[1].phase, Seen::kAbsent) << "it never came to anything: it may be started again";
  EXPECT_EQ(Look(true, true)[1].phase, Seen::kLost) << "it ran and is gone";
}

TEST_F(InstanceViewsTest, HintsOfALargeGangAreGathered) {
  EXPECT_EQ(views_->Hint(job_, 1), 0) << "nothing is known: at once";
  Look();
  EXPECT_EQ(views_->Hint(job_, 1), 5);
  EXPECT_EQ(views_->Hint(job_, 2), std::nullopt) << "a look is due already";
  Look();
  EXPECT_EQ(views_->Hint(job_, 1), 5);
  views_->Look(JobName("small"), 1, 2, false, false);
  EXPECT_EQ(views_->Hint(JobName("small"), 1), 0);
}

TEST_F(InstanceViewsTest, AnotherAttemptIsKnownAnew) {
  Start(1);
  EXPECT_EQ(Look()[1].phase, Seen::kStarting);
  EXPECT_EQ(views_->Look(job_, 2, kCount, false, false)[1].phase, Seen::kAbsent);
}

}  // namespace
}  // namespace sagebrush::control
