// Gangs, attempts and checkpoints: what a job of several instances, or one that starts again, does as a whole.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/test_control_plane.h"

namespace sagebrush::control {
namespace {

namespace fs = std::filesystem;
namespace sm = gen::sagemaker;
using driver::Phase;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsSupersetOf;

InstanceId Instance(int attempt, int rank) { return InstanceIdOf(JobName("job"), attempt, rank); }

sm::CreateTrainingJobRequest Gang(int count, int retries) {
  sm::CreateTrainingJobRequest request = TestRequest("job");
  request.ResourceConfig->InstanceCount = count;
  if (retries > 0) request.RetryStrategy = sm::RetryStrategy{retries};
  return request;
}

// Archives of several hosts would be merged, and those of fake instances are none: host 1 leaves the model.
driver::FakeScript ModelOfHost1(const driver::InstanceSpec& spec) {
  driver::FakeScript script;
  if (spec.rank > 0) script.model = "";
  return script;
}

// The delay before the attempt passes, and no more time than that needs.
bool AwaitNext(ControlPlane& plane, int attempt) {
  int64_t passed_ms = 0;
  return Eventually([&] {
    domain::TrainingJobState state = plane.jobs_->Get(JobName("job"))->state;
    bool delayed = state.attempt == attempt && attempt > 1 && !state.start_intended;
    if (delayed && passed_ms < 2000) {
      plane.clock_.Advance(10);
      passed_ms += 10;
    }
    return plane.machine_->created(Instance(attempt, 0)) == 1;
  });
}

TEST(TrainingJobGang, NoProgramBeginsBeforeEveryInstanceIsReady) {
  ControlPlane plane;
  plane.machine_->SetScripts(ModelOfHost1);
  plane.Create(Gang(3, 0));
  for (int rank : {0, 1}) {
    ASSERT_TRUE(plane.AwaitStarted(Instance(1, rank)));
    plane.machine_->AdvanceTo(Instance(1, rank), Phase::kReady);
  }
  ASSERT_TRUE(plane.AwaitStarted(Instance(1, 2)));
  plane.machine_->AdvanceTo(Instance(1, 2), Phase::kDownloading);
  ASSERT_TRUE(plane.AwaitSecondary("job", "Downloading"));
  plane.Restart();
  for (int rank : {0, 1, 2}) EXPECT_EQ(plane.machine_->release_calls(Instance(1, rank)), 0);
  ASSERT_TRUE(plane.StartGang("job", 1, 3));
  ASSERT_TRUE(plane.AwaitSecondary("job", "Training"));
  for (int rank : {0, 1, 2}) plane.machine_->AdvanceTo(Instance(1, rank), Phase::kEnded);
  EXPECT_TRUE(plane.AwaitStatus("job", "Completed"));
}

TEST(TrainingJobGang, AHostThatDoesNotComeIsNamed) {
  ControlPlane plane;
  plane.gang_wait_ms_ = 60'000;
  plane.Restart();
  plane.Create(Gang(2, 0));
  ASSERT_TRUE(plane.AwaitStarted(Instance(1, 0)));
  ASSERT_TRUE(plane.AwaitStarted(Instance(1, 1)));
  plane.machine_->AdvanceTo(Instance(1, 0), Phase::kReady);
  plane.machine_->AdvanceTo(Instance(1, 1), Phase::kDownloading);
  plane.clock_.Advance(120'000);
  ASSERT_TRUE(plane.AwaitStatus("job", "Failed"));
  EXPECT_THAT(*plane.Describe("job").FailureReason,
              HasSubstr("instance algo-2 was not ready to start within 60 s after the first of 2 was"));
  EXPECT_EQ(plane.machine_->release_calls(Instance(1, 0)), 0);
}

TEST(TrainingJobGang, ALossStartsEveryHostAgainAndTheirStreamsGoOn) {
  ControlPlane plane;
  plane.machine_->SetScripts(ModelOfHost1);
  plane.Create(Gang(2, 1));
  ASSERT_TRUE(plane.StartGang("job", 1, 2));
  ASSERT_TRUE(plane.AwaitSecondary("job", "Training"));
  for (int rank : {0, 1}) plane.machine_->Print(Instance(1, rank), "first attempt of " + std::to_string(rank));
  plane.machine_->Lose(Instance(1, 1));
  ASSERT_TRUE(Eventually([&] { return plane.machine_->stop_calls(Instance(1, 0)) == 1; }));
  EXPECT_EQ(plane.machine_->created(Instance(2, 1)), 0) << "the other host's program has not ended yet";
  plane.machine_->AdvanceTo(Instance(1, 0), Phase::kEnded);
  ASSERT_TRUE(AwaitNext(plane, 2));
  EXPECT_FALSE(plane.driver_->Inspect(Instance(1, 0))) << "the former attempt is gone";
  ASSERT_TRUE(plane.StartGang("job", 2, 2));
  for (int rank : {0, 1}) plane.machine_->Print(Instance(2, rank), "second attempt of " + std::to_string(rank));
  for (int rank : {0, 1}) plane.machine_->AdvanceTo(Instance(2, rank), Phase::kEnded);
  ASSERT_TRUE(plane.AwaitStatus("job", "Completed"));
  EXPECT_THAT(plane.LogLines("job"),
              ElementsAre("first attempt of 0", "second attempt of 0", "first attempt of 1", "second attempt of 1"));
  EXPECT_THAT(plane.Secondaries("job"), ElementsAre("Starting", "Downloading", "Training", "Restarting", "Downloading",
                                                    "Training", "Uploading", "Completed"));
  EXPECT_EQ(plane.Describe("job").RetryStrategy->MaximumRetryAttempts, 1);
  EXPECT_TRUE(plane.AwaitCleanedUp());
  EXPECT_TRUE(plane.machine_->running().empty());
}

TEST(TrainingJobGang, RetriesAreUsedUp) {
  ControlPlane plane;
  plane.Create(Gang(1, 2));
  for (int attempt : {1, 2, 3}) {
    ASSERT_TRUE(AwaitNext(plane, attempt));
    plane.machine_->AdvanceTo(Instance(attempt, 0), Phase::kTraining);
    plane.machine_->Lose(Instance(attempt, 0));
  }
  ASSERT_TRUE(plane.AwaitStatus("job", "Failed"));
  EXPECT_THAT(*plane.Describe("job").FailureReason, HasSubstr("InternalServerError: the agent of instance algo-1"));
  EXPECT_EQ(plane.machine_->created(Instance(4, 0)), 0);
}

TEST(TrainingJobGang, AFailedProgramIsNotRetried) {
  ControlPlane plane;
  driver::FakeScript script;
  script.automatic = true;
  script.exit_code = 1;
  plane.machine_->SetScript(script);
  plane.Create(Gang(1, 5));
  ASSERT_TRUE(plane.AwaitStatus("job", "Failed"));
  EXPECT_THAT(*plane.Describe("job").FailureReason, HasSubstr("AlgorithmError"));
  EXPECT_EQ(plane.machine_->created(Instance(2, 0)), 0);
}

TEST(TrainingJobGang, AnInterruptedSpotJobGoesOn) {
  ControlPlane plane;
  sm::CreateTrainingJobRequest request = Gang(1, 0);
  request.EnableManagedSpotTraining = true;
  request.StoppingCondition->MaxWaitTimeInSeconds = 7200;
  plane.Create(request);
  ASSERT_TRUE(plane.AwaitStarted(Instance(1, 0)));
  plane.machine_->AdvanceTo(Instance(1, 0), Phase::kTraining);
  ASSERT_TRUE(plane.AwaitSecondary("job", "Training"));
  plane.machine_->Lose(Instance(1, 0));
  ASSERT_TRUE(AwaitNext(plane, 2));
  plane.machine_->AdvanceTo(Instance(2, 0), Phase::kEnded);
  ASSERT_TRUE(plane.AwaitStatus("job", "Completed"));
  EXPECT_THAT(plane.Secondaries("job"), IsSupersetOf({"Training", "Interrupted", "Completed"}));
}

TEST(TrainingJobGang, AStopReachesAJobBetweenItsAttempts) {
  ControlPlane plane;
  plane.Create(Gang(1, 5));
  ASSERT_TRUE(plane.AwaitStarted(Instance(1, 0)));
  plane.machine_->AdvanceTo(Instance(1, 0), Phase::kTraining);
  plane.machine_->Lose(Instance(1, 0));  // time stands still: the next attempt does not come
  ASSERT_TRUE(plane.AwaitSecondary("job", "Restarting"));
  ASSERT_TRUE(plane.frontend_->Stop({"job"}));
  ASSERT_TRUE(plane.AwaitStatus("job", "Stopped"));
  EXPECT_TRUE(plane.AwaitCleanedUp());
  EXPECT_EQ(plane.machine_->created(Instance(2, 0)), 0);
}

TEST(TrainingJobGang, GroupsSeeTheirOwnChannelsAndShares) {
  ControlPlane plane;
  plane.machine_->SetScripts(ModelOfHost1);
  plane.capacity_vcpus_ = 100;
  plane.Restart();
  for (const char* name : {"b", "c", "d"}) plane.PutObject(std::string("data/") + name + ".csv", name);
  sm::CreateTrainingJobRequest request = TestRequest("job");
  request.ResourceConfig = sm::ResourceConfig{
      .VolumeSizeInGB = 30, .InstanceGroups = {{"ml.c5.2xlarge", 1, "feed"}, {"ml.m5.large", 2, "train"}}};
  request.InputDataConfig[0].DataSource.S3DataSource->InstanceGroupNames = {"train"};
  request.InputDataConfig[0].DataSource.S3DataSource->S3DataDistributionType = "ShardedByS3Key";
  plane.Create(request);
  ASSERT_TRUE(plane.StartGang("job", 1, 3));
  EXPECT_TRUE(plane.machine_->spec(Instance(1, 0))->channels.empty());
  std::vector<std::string> seen;
  for (int rank : {1, 2}) {
    driver::InstanceSpec spec = *plane.machine_->spec(Instance(1, rank));
    ASSERT_EQ(spec.channels.size(), 1u);
    for (const auto& entry : fs::directory_iterator(spec.channels[0].links)) {
      seen.push_back(std::to_string(rank) + entry.path().filename().string());
    }
  }
  EXPECT_THAT(seen, testing::UnorderedElementsAre("1a.csv", "2b.csv", "1c.csv", "2d.csv"));
  for (int rank : {0, 1, 2}) plane.machine_->AdvanceTo(Instance(1, rank), Phase::kEnded);
  EXPECT_TRUE(plane.AwaitStatus("job", "Completed"));
}

class Checkpointed : public testing::Test {
 protected:
  Checkpointed() {
    request_.CheckpointConfig = sm::CheckpointConfig{"s3://bucket/ckpt", {}};
    plane_.PutObject("ckpt/old", "stored before");
    plane_.PutObject("ckpt/sub/dir/file", "deep");
    plane_.PutObject("ckpt-2/other", "of another run");
  }
  fs::path DirectoryOf(int attempt, int rank = 0) {
    return plane_.machine_->spec(Instance(attempt, rank))->checkpoints.directory;
  }
  bool Start(int attempt) {
    if (!AwaitNext(plane_, attempt)) return false;
    plane_.machine_->AdvanceTo(Instance(attempt, 0), Phase::kTraining);
    return true;
  }

  ControlPlane plane_;
  sm::CreateTrainingJobRequest request_ = Gang(1, 3);
};

TEST_F(Checkpointed, WhatIsStoredIsThereAndWhatIsWrittenIsStoredAtTheEnd) {
  plane_.Create(request_);
  ASSERT_TRUE(Start(1));
  driver::InstanceSpec spec = *plane_.machine_->spec(Instance(1, 0));
  EXPECT_EQ(spec.checkpoints.path, "/opt/ml/checkpoints");
  EXPECT_EQ(*io::ReadFile(spec.checkpoints.directory / "old"), "stored before");
  EXPECT_EQ(*io::ReadFile(spec.checkpoints.directory / "sub/dir/file"), "deep");
  EXPECT_FALSE(fs::exists(spec.checkpoints.directory / "other"));
  std::string large(3 << 20, 'x');
  ASSERT_TRUE(io::WriteFile(spec.checkpoints.directory / "new", large));
  ASSERT_TRUE(io::WriteFile(spec.checkpoints.directory / "old", "changed"));
  fs::remove(spec.checkpoints.directory / "sub/dir/file");
  plane_.machine_->AdvanceTo(Instance(1, 0), Phase::kEnded);
  ASSERT_TRUE(plane_.AwaitStatus("job", "Completed"));
  EXPECT_EQ(plane_.ObjectText("ckpt/new"), large);
  EXPECT_EQ(plane_.ObjectText("ckpt/old"), "changed");
  EXPECT_FALSE(plane_.HasObject("ckpt/sub/dir/file"));
  EXPECT_EQ(plane_.ObjectText("ckpt-2/other"), "of another run");
}

TEST_F(Checkpointed, AFileIsStoredWhileTheProgramRunsOnceItIsQuiet) {
  plane_.Create(request_);
  ASSERT_TRUE(Start(1));
  ASSERT_TRUE(io::WriteFile(DirectoryOf(1) / "ckpt-1", "one"));
  ASSERT_TRUE(plane_.checkpoints_->Sync(Instance(1, 0)));
  EXPECT_FALSE(plane_.HasObject("ckpt/ckpt-1")) << "it may be half written";
  ASSERT_TRUE(Eventually([&] { return plane_.HasObject("ckpt/ckpt-1"); }));
  EXPECT_EQ(plane_.Describe("job").SecondaryStatus, "Training");
}

TEST_F(Checkpointed, TheNextAttemptFindsWhatWasQuietWhenTheInstanceWasLost) {
  plane_.Create(request_);
  ASSERT_TRUE(Start(1));
  ASSERT_TRUE(io::WriteFile(DirectoryOf(1) / "whole", "whole"));
  ASSERT_TRUE(Eventually([&] { return plane_.HasObject("ckpt/whole"); }));
  ASSERT_TRUE(io::WriteFile(DirectoryOf(1) / "half", "ha"));
  plane_.machine_->Lose(Instance(1, 0));
  ASSERT_TRUE(Start(2));
  EXPECT_EQ(*io::ReadFile(DirectoryOf(2) / "whole"), "whole");
  EXPECT_FALSE(fs::exists(DirectoryOf(2) / "half"));
  plane_.machine_->AdvanceTo(Instance(2, 0), Phase::kEnded);
  EXPECT_TRUE(plane_.AwaitStatus("job", "Completed"));
}

TEST_F(Checkpointed, AProgramThatASignalEndedMayHaveBeenInTheMiddleOfAFile) {
  plane_.Create(request_);
  ASSERT_TRUE(Start(1));
  ASSERT_TRUE(io::WriteFile(DirectoryOf(1) / "half", "ha"));
  ASSERT_TRUE(plane_.frontend_->Stop({"job"}));
  ASSERT_TRUE(Eventually([&] { return plane_.machine_->stop_calls(Instance(1, 0)) == 1; }));
  plane_.machine_->AdvanceTo(Instance(1, 0), Phase::kEnded);
  ASSERT_TRUE(plane_.AwaitStatus("job", "Stopped"));
  EXPECT_FALSE(plane_.HasObject("ckpt/half"));
  EXPECT_EQ(plane_.ObjectText("ckpt/old"), "stored before");
}

TEST_F(Checkpointed, AProgramThatEndsWhileThereIsNoEngineLosesNothing) {
  plane_.Create(request_);
  ASSERT_TRUE(Start(1));
  fs::path directory = DirectoryOf(1);
  plane_.Close();
  ASSERT_TRUE(io::WriteFile(directory / "late", "late"));
  fs::remove(directory / "old");
  plane_.machine_->AdvanceTo(Instance(1, 0), Phase::kEnded);
  plane_.Open();
  ASSERT_TRUE(plane_.AwaitStatus("job", "Completed"));
  EXPECT_EQ(plane_.ObjectText("ckpt/late"), "late");
  EXPECT_FALSE(plane_.HasObject("ckpt/old")) << "the record of what was there outlives the engine";
}

TEST_F(Checkpointed, WhatAnotherInstanceStoredMeanwhileIsNotDeleted) {
  plane_.Create(request_);
  ASSERT_TRUE(Start(1));
  plane_.PutObject("ckpt/old", "of another host");
  fs::remove(DirectoryOf(1) / "old");
  plane_.machine_->AdvanceTo(Instance(1, 0), Phase::kEnded);
  ASSERT_TRUE(plane_.AwaitStatus("job", "Completed"));
  EXPECT_EQ(plane_.ObjectText("ckpt/old"), "of another host");
}

TEST_F(Checkpointed, AnUnchangedFileIsNotStoredAgain) {
  plane_.Create(request_);
  ASSERT_TRUE(Start(1));
  int64_t stored_ms = plane_.objects_->Head("bucket", "ckpt/old")->modified_ms;
  plane_.PutObject("ckpt/old", "newer, by another host");
  plane_.machine_->AdvanceTo(Instance(1, 0), Phase::kEnded);
  ASSERT_TRUE(plane_.AwaitStatus("job", "Completed"));
  EXPECT_EQ(plane_.ObjectText("ckpt/old"), "newer, by another host");
  EXPECT_GE(plane_.objects_->Head("bucket", "ckpt/old")->modified_ms, stored_ms);
}

TEST_F(Checkpointed, WhatCannotBeStoredIsSaidAndDoesNotCostTheModel) {
  plane_.Create(request_);
  ASSERT_TRUE(Start(1));
  ASSERT_TRUE(io::WriteFile(DirectoryOf(1) / ("long" + std::string(200, 'x')), "one"));
  fs::path deep = DirectoryOf(1);
  for (int i = 0; i < 5; ++i) deep /= std::string(240, 'd');
  fs::create_directories(deep);
  ASSERT_TRUE(io::WriteFile(deep / "too-long-a-key", "two"));
  plane_.machine_->AdvanceTo(Instance(1, 0), Phase::kEnded);
  ASSERT_TRUE(plane_.AwaitStatus("job", "Completed"));
  EXPECT_TRUE(plane_.HasObject("output/job/output/model.tar.gz"));
  EXPECT_TRUE(plane_.HasObject("ckpt/long" + std::string(200, 'x')));
  EXPECT_THAT(plane_.Describe("job").SecondaryStatusTransitions.back().StatusMessage->c_str(),
              HasSubstr("checkpoints were not stored: "));
}

TEST_F(Checkpointed, AMissingBucketFailsTheJobBeforeItStarts) {
  request_.CheckpointConfig->S3Uri = "s3://absent/ckpt";
  plane_.Create(request_);
  ASSERT_TRUE(plane_.AwaitStatus("job", "Failed"));
  EXPECT_THAT(*plane_.Describe("job").FailureReason, HasSubstr("the bucket of CheckpointConfig.S3Uri"));
  EXPECT_EQ(plane_.machine_->created(Instance(1, 0)), 0);
}

}  // namespace
}  // namespace sagebrush::control
