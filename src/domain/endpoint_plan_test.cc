#include "domain/endpoint_plan.h"

#include <gmock/gmock.h>

namespace sagebrush::domain {
namespace {

using ::testing::HasSubstr;
using Phase = ObservedEndpointInstance::Phase;
using Stage = EndpointInstance::Stage;

constexpr int64_t kNow = 1'000'000;

Fleet FleetOf(const std::string& config, int count, double weight = 1) {
  EndpointVariant variant;
  variant.name = "AllTraffic";
  variant.instance_count = count;
  variant.weight = weight;
  variant.start_limit_ms = 60'000;
  return {.generation = 0, .config_name = config, .variants = {variant}};
}

// The world around an endpoint: instances do as they are told, unless a test says otherwise.
class EndpointPlanTest : public ::testing::Test {
 protected:
  // Follows until nothing changes; what is wanted then runs and what is leaving has gone.
  void Settle() {
    for (int round = 0; round < 50; ++round) {
      EndpointState next = Follow(state_, actual_, now_);
      bool same = next == state_;
      state_ = next;
      EndpointActual before = actual_;
      for (const EndpointInstance& instance : state_.instances) {
        ObservedEndpointInstance& seen = actual_[instance.serial];
        if (instance.stage == Stage::kLeaving) {
          actual_.erase(instance.serial);
        } else if (seen.phase == Phase::kAbsent && instance.start_ms <= now_) {
          seen = {.phase = starts_ ? Phase::kRunning : Phase::kGone,
                  .started_ms = now_,
                  .healthy = starts_,
                  .failure_reason = last_words_};
        }
      }
      bool still =
          before.size() == actual_.size() && std::ranges::equal(before, actual_, [](const auto& a, const auto& b) {
            return a.first == b.first && a.second.phase == b.second.phase;
          });
      if (same && still) return;
    }
    FAIL() << "does not settle: " << ToJson(state_);
  }
  void Serve(int count) {
    state_ = NewEndpointState(FleetOf("first", count), now_);
    Settle();
    ASSERT_EQ(state_.status, EndpointStatus::kInService);
  }
  size_t Running() const {
    return static_cast<size_t>(
        std::ranges::count_if(actual_, [](const auto& entry) { return entry.second.phase == Phase::kRunning; }));
  }

  EndpointState state_;
  EndpointActual actual_;
  int64_t now_ = kNow;
  bool starts_ = true;
  std::string last_words_;
};

TEST_F(EndpointPlanTest, IsInServiceOnceEveryInstanceHasServed) {
  state_ = NewEndpointState(FleetOf("first", 2), now_);
  state_ = Follow(state_, actual_, now_);
  ASSERT_EQ(state_.instances.size(), 2U);
  actual_[1] = {.phase = Phase::kRunning, .started_ms = now_, .healthy = true};
  actual_[2] = {.phase = Phase::kRunning, .started_ms = now_};
  state_ = Follow(state_, actual_, now_);
  EXPECT_EQ(state_.status, EndpointStatus::kCreating);
  actual_[2].healthy = true;
  state_ = Follow(state_, actual_, now_);
  EXPECT_EQ(state_.status, EndpointStatus::kInService);
  EXPECT_EQ(state_.serving->config_name, "first");
  EXPECT_EQ(state_.serving->variants[0].settled_count, 2);
}

TEST_F(EndpointPlanTest, AFirstFleetThatDoesNotStartFailsTheEndpointWithItsLastWords) {
  state_ = NewEndpointState(FleetOf("first", 2), now_);
  starts_ = false;
  last_words_ = "ModuleNotFoundError: no module named nothing";
  Settle();
  EXPECT_EQ(state_.status, EndpointStatus::kFailed);
  EXPECT_THAT(state_.failure_reason, HasSubstr(last_words_));
  EXPECT_TRUE(state_.instances.empty());
}

TEST_F(EndpointPlanTest, OneThatNeverAnswersItsPingFailsInItsTime) {
  state_ = NewEndpointState(FleetOf("first", 1), now_);
  state_ = Follow(state_, actual_, now_);
  actual_[1] = {.phase = Phase::kRunning, .started_ms = now_, .unwell = true, .failure_reason = "still reading"};
  state_ = Follow(state_, actual_, now_ + 60'000);
  EXPECT_EQ(state_.status, EndpointStatus::kCreating);
  state_ = Follow(state_, actual_, now_ + 60'001);
  EXPECT_EQ(state_.status, EndpointStatus::kFailed);
  EXPECT_THAT(state_.failure_reason, HasSubstr("did not pass the ping health check within 60 s"));
  EXPECT_THAT(state_.failure_reason, HasSubstr("Its last words: still reading"));
}

TEST_F(EndpointPlanTest, OneThatUnpacksForTooLongFailsToo) {
  state_ = Follow(NewEndpointState(FleetOf("first", 1), now_), actual_, now_);
  actual_[1] = {.phase = Phase::kRunning, .started_ms = now_, .preparing = true};
  state_ = Follow(state_, actual_, now_ + 60'001);
  EXPECT_EQ(state_.status, EndpointStatus::kFailed);
  EXPECT_THAT(state_.failure_reason, HasSubstr("It has printed nothing"));
}

// The engine was away longer than an instance may take.
TEST_F(EndpointPlanTest, OneThatNobodyHasAskedInItsTimeMayStillAnswer) {
  state_ = Follow(NewEndpointState(FleetOf("first", 1), now_), actual_, now_);
  actual_[1] = {.phase = Phase::kRunning, .started_ms = now_};
  state_ = Follow(state_, actual_, now_ + 600'000);
  EXPECT_EQ(state_.status, EndpointStatus::kCreating);
  actual_[1].healthy = true;
  state_ = Follow(state_, actual_, now_ + 600'001);
  EXPECT_EQ(state_.status, EndpointStatus::kInService);
}

TEST_F(EndpointPlanTest, AnUpdateServesFromTheOldFleetUntilTheNewOneServesAndDrainsItThen) {
  Serve(1);
  ASSERT_TRUE(BeginUpdate(state_, FleetOf("second", 1), now_));
  state_ = Follow(state_, actual_, now_);
  EXPECT_EQ(state_.serving->config_name, "first");
  actual_[1].idle = false;
  Settle();
  EXPECT_EQ(state_.status, EndpointStatus::kInService);
  EXPECT_EQ(state_.config_name, "second");
  ASSERT_EQ(state_.instances.size(), 2U);
  EXPECT_EQ(state_.instances[0].stage, Stage::kDraining);  // a request is under way to it
  actual_[1].idle = true;
  Settle();
  EXPECT_EQ(state_.instances.size(), 1U);
}

TEST_F(EndpointPlanTest, ARequestThatNeverEndsDoesNotKeepAnOldFleetForEver) {
  Serve(1);
  ASSERT_TRUE(BeginUpdate(state_, FleetOf("second", 1), now_));
  actual_[1].idle = false;
  Settle();
  ASSERT_EQ(state_.instances.size(), 2U);
  now_ += kDrainLimitMs + 1;
  Settle();
  EXPECT_EQ(state_.instances.size(), 1U);
}

TEST_F(EndpointPlanTest, AFailedUpdateIsRolledBackAndSaysWhy) {
  Serve(1);
  starts_ = false;
  last_words_ = "no such model";
  ASSERT_TRUE(BeginUpdate(state_, FleetOf("second", 2), now_));
  Settle();
  EXPECT_EQ(state_.status, EndpointStatus::kInService);
  EXPECT_EQ(state_.config_name, "first");
  EXPECT_THAT(state_.failure_reason, HasSubstr("no such model"));
  EXPECT_EQ(Running(), 1U);
}

TEST_F(EndpointPlanTest, AnInstanceThatDiesIsReplacedAtOnceAndThenMoreAndMoreSlowly) {
  Serve(2);
  starts_ = false;
  actual_[1] = {.phase = Phase::kGone, .failure_reason = "killed"};
  Settle();
  EXPECT_EQ(state_.status, EndpointStatus::kInService);
  EXPECT_EQ(Running(), 1U);
  // The one that replaced it failed at once; the next one waits.
  int64_t next_ms = state_.instances.back().start_ms;
  EXPECT_GT(next_ms, now_);
  now_ = next_ms;
  Settle();
  EXPECT_GT(state_.instances.back().start_ms - now_, next_ms - kNow);
  starts_ = true;
  now_ = state_.instances.back().start_ms;
  Settle();
  EXPECT_EQ(Running(), 2U);
}

TEST_F(EndpointPlanTest, ASilentInstanceIsReplaced) {
  Serve(1);
  actual_[1].silent = true;
  Settle();
  ASSERT_EQ(state_.instances.size(), 1U);
  EXPECT_EQ(state_.instances[0].serial, 2);
}

TEST_F(EndpointPlanTest, CapacitiesGrowAndShrink) {
  Serve(1);
  ASSERT_TRUE(BeginScaling(state_, {{.name = "AllTraffic", .weight = 3, .instance_count = 3}}, now_));
  EXPECT_EQ(state_.status, EndpointStatus::kUpdating);
  Settle();
  EXPECT_EQ(state_.status, EndpointStatus::kInService);
  EXPECT_EQ(Running(), 3U);
  EXPECT_EQ(state_.serving->variants[0].weight, 3);
  ASSERT_TRUE(BeginScaling(state_, {{.name = "AllTraffic", .weight = {}, .instance_count = 1}}, now_));
  Settle();
  EXPECT_EQ(state_.status, EndpointStatus::kInService);
  EXPECT_EQ(Running(), 1U);
  EXPECT_FALSE(BeginScaling(state_, {{.name = "Other", .weight = 1, .instance_count = {}}}, now_));
}

TEST_F(EndpointPlanTest, AScalingThatFailsGoesBack) {
  Serve(1);
  starts_ = false;
  ASSERT_TRUE(BeginScaling(state_, {{.name = "AllTraffic", .weight = {}, .instance_count = 2}}, now_));
  Settle();
  EXPECT_EQ(state_.status, EndpointStatus::kInService);
  EXPECT_EQ(state_.serving->variants[0].instance_count, 1);
  EXPECT_FALSE(state_.failure_reason.empty());
  EXPECT_EQ(Running(), 1U);
}

TEST_F(EndpointPlanTest, IsDeletableInEveryState) {
  for (int kind = 0; kind < 4; ++kind) {
    actual_.clear();
    starts_ = true;
    state_ = NewEndpointState(FleetOf("first", 2), now_);
    if (kind == 0) state_ = Follow(state_, actual_, now_);
    if (kind == 1) starts_ = false;
    if (kind > 0) Settle();
    if (kind == 2) ASSERT_TRUE(BeginUpdate(state_, FleetOf("second", 1), now_));
    if (kind == 2) state_ = Follow(state_, actual_, now_);
    EXPECT_FALSE(IsOver(state_));
    BeginDelete(state_, now_);
    Settle();
    EXPECT_TRUE(IsOver(state_)) << kind;
    EXPECT_EQ(Running(), 0U);
  }
}

TEST_F(EndpointPlanTest, StateSurvivesItsRow) {
  Serve(2);
  ASSERT_TRUE(BeginUpdate(state_, FleetOf("second", 1), now_));
  state_.serving->variants[0].environment = {{"A", "1"}};
  state_ = Follow(state_, actual_, now_);
  Result<EndpointState> read = EndpointStateFromJson(ToJson(state_));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, state_);
  EXPECT_FALSE(EndpointStateFromJson("{}"));
  EXPECT_FALSE(EndpointStateFromJson("["));
}

}  // namespace
}  // namespace sagebrush::domain
