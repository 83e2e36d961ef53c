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

TEST(TrainingJobState, ARestartGoesBackAndKeepsTheFirstTrainingStart) {
  TrainingJobState state = NewTrainingJobState(1000);
  EXPECT_FALSE(BeginRestart(state, false, "lost", 1500)) << "nothing has been started";
  state.start_intended = true;
  state.training_started_ms = state.attempt_training_started_ms = 2000;
  ASSERT_TRUE(Advance(state, SecondaryStatus::kTraining, "", 2000));
  ASSERT_TRUE(BeginRestart(state, false, "lost", 3000));
  EXPECT_EQ(state.secondary(), SecondaryStatus::kRestarting);
  EXPECT_EQ(state.status, TrainingJobStatus::kInProgress);
  EXPECT_EQ(state.transitions.back().message, "Attempt 1 is over (lost); starting again");
  BeginAttempt(state, 4000);
  EXPECT_EQ(state.attempt, 2);
  EXPECT_EQ(state.training_started_ms, 2000);
  EXPECT_EQ(state.attempt_training_started_ms, 0);
  EXPECT_FALSE(state.start_intended || state.restarting);
  ASSERT_TRUE(Advance(state, SecondaryStatus::kDownloading, "", 5000));
  state.start_intended = true;
  ASSERT_TRUE(BeginRestart(state, true, "lost", 6000));
  EXPECT_EQ(state.secondary(), SecondaryStatus::kInterrupted);
}

TEST(TrainingJobState, AJobThatIsEndingDoesNotStartAgain) {
  TrainingJobState state = NewTrainingJobState(1000);
  state.start_intended = true;
  ASSERT_TRUE(Advance(state, SecondaryStatus::kStopping, "", 2000));
  EXPECT_FALSE(Advance(state, SecondaryStatus::kRestarting, "", 3000));
  state.stop_cause = StopCause::kRequested;
  EXPECT_FALSE(BeginRestart(state, false, "lost", 3000));
}

TEST(TrainingJobState, AnEndSaysWhatBecameOfTheCheckpoints) {
  TrainingJobState state = NewTrainingJobState(1000);
  state.outcome = Outcome{TrainingJobStatus::kCompleted, SecondaryStatus::kCompleted, ""};
  state.checkpoint_failure = "no bucket";
  ASSERT_TRUE(Finish(state, 2000));
  EXPECT_EQ(state.transitions.back().message, "Training job completed; checkpoints were not stored: no bucket");
}

TEST(TrainingJobState, SurvivesJson) {
  TrainingJobState state = NewTrainingJobState(1000);
  ASSERT_TRUE(Advance(state, SecondaryStatus::kTraining, "quote \" and ünicode", 2000));
  state.admitted_ms = 1;
  state.training_started_ms = 2;
  state.training_ended_ms = 3;
  state.start_intended = true;
  state.attempt = 3;
  state.attempt_training_started_ms = 4;
  state.attempt_ended_ms = 5;
  state.restarting = true;
  state.stop_cause = StopCause::kStartTimeout;
  state.stop_reason = "algo-2 is missing";
  state.checkpoint_failure = "no bucket";
  state.outcome = Outcome{TrainingJobStatus::kFailed, SecondaryStatus::kFailed, "line\nline"};
  state.artifacts_published = true;
  state.model_artifacts = "s3://b/k";
  Result<TrainingJobState> read = TrainingJobStateFromJson(ToJson(state));
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, state);
}

TEST(TrainingJobState, ReadsRowsOfVersionsWithoutAttempts) {
  std::string old =
      R"({"status":"InProgress","transitions":[{"status":"Training","start_ms":1,"end_ms":0,"message":""}],)"
      R"("created_ms":1,"modified_ms":1,"admitted_ms":1,"training_started_ms":7,"training_ended_ms":0,"attempt":1,)"
      R"("start_intended":true,"stop_cause":"none","artifacts_published":false,"model_artifacts":"",)"
      R"("instances_destroyed":false})";
  Result<TrainingJobState> read = TrainingJobStateFromJson(old);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->attempt_training_started_ms, 7);
  EXPECT_FALSE(read->restarting);
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
