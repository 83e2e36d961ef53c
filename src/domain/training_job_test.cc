#include "domain/training_job.h"

#include <gtest/gtest.h>

namespace sagebrush::domain {
namespace {

TEST(TrainingJobState, StartsInProgressWithOneOpenTransition) {
  TrainingJobState state = NewTrainingJobState(1000);
  EXPECT_EQ(state.status, TrainingJobStatus::kInProgress);
  ASSERT_EQ(state.transitions.size(), 1u);
  EXPECT_EQ(state.secondary(), SecondaryStatus::kStarting);
  EXPECT_EQ(state.transitions[0].end_ms, 0);
}

TEST(TrainingJobState, AdvanceClosesTheLastTransitionAndOpensTheNext) {
  TrainingJobState state = NewTrainingJobState(1000);
  ASSERT_TRUE(Advance(state, SecondaryStatus::kDownloading, "Downloading", 2000));
  ASSERT_EQ(state.transitions.size(), 2u);
  EXPECT_EQ(state.transitions[0].end_ms, 2000);
  EXPECT_EQ(state.transitions[1].start_ms, 2000);
  EXPECT_EQ(state.modified_ms, 2000);
}

TEST(TrainingJobState, ARepeatedStatusOnlyReplacesItsMessage) {
  TrainingJobState state = NewTrainingJobState(1000);
  ASSERT_TRUE(Advance(state, SecondaryStatus::kStarting, "other", 2000));
  ASSERT_EQ(state.transitions.size(), 1u);
  EXPECT_EQ(state.transitions[0].message, "other");
}

TEST(TrainingJobState, NeverGoesBack) {
  TrainingJobState state = NewTrainingJobState(1000);
  ASSERT_TRUE(Advance(state, SecondaryStatus::kTraining, "", 2000));
  TrainingJobState before = state;
  EXPECT_FALSE(Advance(state, SecondaryStatus::kDownloading, "", 3000));
  EXPECT_EQ(state, before);
}

TEST(TrainingJobState, NeedsAnOutcomeToEnd) {
  TrainingJobState state = NewTrainingJobState(1000);
  EXPECT_FALSE(Finish(state, 2000));
  EXPECT_FALSE(Advance(state, SecondaryStatus::kCompleted, "", 2000));
}

TEST(TrainingJobState, AFinalStateNeverChanges) {
  TrainingJobState state = NewTrainingJobState(1000);
  state.outcome = Outcome{TrainingJobStatus::kCompleted, SecondaryStatus::kCompleted, ""};
  ASSERT_TRUE(Finish(state, 2000));
  EXPECT_EQ(state.status, TrainingJobStatus::kCompleted);
  TrainingJobState before = state;
  EXPECT_FALSE(Finish(state, 3000));
  EXPECT_FALSE(Advance(state, SecondaryStatus::kFailed, "", 3000));
  EXPECT_EQ(state, before);
}

TEST(TrainingJobState, TimeNeverGoesBackWithTheWallClock) {
  TrainingJobState state = NewTrainingJobState(5000);
  ASSERT_TRUE(Advance(state, SecondaryStatus::kDownloading, "", 1000));
  EXPECT_EQ(state.transitions[1].start_ms, 5000);
}

TEST(TrainingJobState, StoppingShowsInTheStatus) {
  TrainingJobState state = NewTrainingJobState(1000);
  ASSERT_TRUE(Advance(state, SecondaryStatus::kStopping, "", 2000));
  EXPECT_EQ(state.status, TrainingJobStatus::kStopping);
}

TEST(TrainingJobState, SurvivesJson) {
  TrainingJobState state = NewTrainingJobState(1000);
  ASSERT_TRUE(Advance(state, SecondaryStatus::kTraining, "quote \" and ünicode", 2000));
  state.admitted_ms = 1;
  state.training_started_ms = 2;
  state.training_ended_ms = 3;
  state.start_intended = true;
  state.stop_cause = StopCause::kMaxRuntime;
  state.outcome = Outcome{TrainingJobStatus::kFailed, SecondaryStatus::kFailed, "line\nline"};
  state.artifacts_published = true;
  state.model_artifacts = "s3://b/k";
  Result<TrainingJobState> read = TrainingJobStateFromJson(ToJson(state));
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, state);
}

TEST(TrainingJobState, DamagedJsonIsDataLoss) {
  for (const char* text : {"", "[]", "{}", R"({"status":"Nonsense"})"}) {
    Result<TrainingJobState> read = TrainingJobStateFromJson(text);
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().kind, ErrorKind::kDataLoss);
  }
}

}  // namespace
}  // namespace sagebrush::domain
