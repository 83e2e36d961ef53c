#include "control/training_job_reconciler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/test_control_plane.h"

namespace sagebrush::control {
namespace {

namespace sm = gen::sagemaker;
using driver::FakeScript;
using driver::Phase;
using testing::ElementsAre;
using testing::HasSubstr;

InstanceId First(const std::string& job) { return InstanceIdOf(JobName(job), 1, 0); }

TEST(TrainingJobReconciler, RunsAJobToItsEnd) {
  ControlPlane plane;
  FakeScript script;
  script.automatic = true;
  script.lines = {"hello", "world"};
  script.output = "output";
  plane.machine_->SetScript(script);
  plane.Create(TestRequest("job"));
  ASSERT_TRUE(plane.AwaitStatus("job", "Completed"));
  sm::DescribeTrainingJobResponse described = plane.Describe("job");
  EXPECT_EQ(described.ModelArtifacts.S3ModelArtifacts, "s3://bucket/output/job/output/model.tar.gz");
  EXPECT_TRUE(plane.HasObject("output/job/output/model.tar.gz"));
  EXPECT_TRUE(plane.HasObject("output/job/output/output.tar.gz"));
  // Readers stop at the final status: the lines are there by then.
  EXPECT_THAT(plane.LogLines("job"), ElementsAre("hello", "world"));
  EXPECT_TRUE(plane.AwaitCleanedUp());
  EXPECT_EQ(plane.machine_->created(First("job")), 1);
}

TEST(TrainingJobReconciler, StagesWhatTheSpecificationPromises) {
  ControlPlane plane;
  sm::CreateTrainingJobRequest request = TestRequest("job");
  plane.PutObject("source.tar.gz", "tar");
  request.HyperParameters["sagemaker_submit_directory"] = R"("s3://bucket/source.tar.gz")";
  request.Environment["MINE"] = "1";
  plane.Create(request);
  ASSERT_TRUE(plane.AwaitStarted(First("job")));
  driver::InstanceSpec spec = *plane.machine_->spec(First("job"));
  ASSERT_EQ(spec.channels.size(), 1u);
  EXPECT_EQ(*io::ReadFile(spec.channels[0].links / "a.csv"), "1,2,3\n");
  EXPECT_EQ(*io::ReadFile(spec.source_archive), "tar");
  EXPECT_EQ(spec.variables.at("MINE"), "1");
  EXPECT_EQ(spec.variables.at("TRAINING_JOB_NAME"), "job");
  EXPECT_THAT(spec.resource_config_json, HasSubstr(R"("current_host":"algo-1")"));
  EXPECT_THAT(spec.input_data_config_json, HasSubstr(R"("TrainingInputMode":"File")"));
  plane.machine_->AdvanceTo(First("job"), Phase::kEnded);
  EXPECT_TRUE(plane.AwaitStatus("job", "Completed"));
}

TEST(TrainingJobReconciler, FailuresSayWhatToDo) {
  struct Case {
    const char* name;
    std::function<void(sm::CreateTrainingJobRequest&)> change;
    std::vector<std::string> reason;
  };
  const Case cases[] = {
      {"no-data",
       [](auto& r) { r.InputDataConfig[0].DataSource.S3DataSource->S3Uri = "s3://bucket/nothing"; },
       {"channel 'train'", "s3://bucket/nothing", "aws s3 ls"}},
      {"no-bucket",
       [](auto& r) { r.InputDataConfig[0].DataSource.S3DataSource->S3Uri = "s3://absent/x"; },
       {"bucket does not exist"}},
      {"no-source",
       [](auto& r) { r.HyperParameters["sagemaker_submit_directory"] = R"("s3://bucket/none.tar.gz")"; },
       {"source archive", "s3://bucket/none.tar.gz"}},
      {"no-output", [](auto& r) { r.OutputDataConfig.S3OutputPath = "s3://absent/out"; }, {"aws s3 mb s3://absent"}},
      {"no-image",
       [](auto& r) { r.AlgorithmSpecification->TrainingImage = "pytorch:1"; },
       {"pytorch:1", "images.toml"}},
      {"gpu", [](auto& r) { r.ResourceConfig->InstanceType = "ml.p3.2xlarge"; }, {"GPU", "ml.m5"}},
  };
  ControlPlane plane;
  for (const Case& c : cases) {
    sm::CreateTrainingJobRequest request = TestRequest(c.name);
    c.change(request);
    plane.Create(request);
    ASSERT_TRUE(plane.AwaitStatus(c.name, "Failed")) << c.name;
    std::string reason = *plane.Describe(c.name).FailureReason;
    for (const std::string& part : c.reason) EXPECT_THAT(reason, HasSubstr(part)) << c.name;
  }
  EXPECT_TRUE(plane.AwaitCleanedUp());
  EXPECT_TRUE(plane.machine_->running().empty());
}

TEST(TrainingJobReconciler, AProgramThatFailsPublishesItsOutputAndNoModel) {
  ControlPlane plane;
  FakeScript script;
  script.automatic = true;
  script.exit_code = 1;
  script.failure_reason = "ValueError: bad";
  script.output = "output";
  plane.machine_->SetScript(script);
  plane.Create(TestRequest("job"));
  ASSERT_TRUE(plane.AwaitStatus("job", "Failed"));
  EXPECT_EQ(plane.Describe("job").FailureReason, "AlgorithmError: ValueError: bad");
  EXPECT_TRUE(plane.HasObject("output/job/output/output.tar.gz"));
  EXPECT_FALSE(plane.HasObject("output/job/output/model.tar.gz"));
}

TEST(TrainingJobReconciler, StopEndsTheProgramAndKeepsItsModel) {
  ControlPlane plane;
  plane.Create(TestRequest("job"));
  ASSERT_TRUE(plane.AwaitStarted(First("job")));
  plane.machine_->AdvanceTo(First("job"), Phase::kTraining);
  ASSERT_TRUE(plane.AwaitSecondary("job", "Training"));
  ASSERT_TRUE(plane.frontend_->Stop({"job"}));
  ASSERT_TRUE(Eventually([&] { return plane.machine_->stop_calls(First("job")) == 1; }));
  plane.machine_->AdvanceTo(First("job"), Phase::kEnded);
  ASSERT_TRUE(plane.AwaitStatus("job", "Stopped"));
  EXPECT_TRUE(plane.HasObject("output/job/output/model.tar.gz"));
  EXPECT_EQ(plane.machine_->stop_calls(First("job")), 1);
}

TEST(TrainingJobReconciler, TheTimeLimitStopsTheProgram) {
  ControlPlane plane;
  sm::CreateTrainingJobRequest request = TestRequest("job");
  request.StoppingCondition->MaxRuntimeInSeconds = 60;
  plane.Create(request);
  ASSERT_TRUE(plane.AwaitStarted(First("job")));
  plane.machine_->AdvanceTo(First("job"), Phase::kTraining);
  ASSERT_TRUE(plane.AwaitSecondary("job", "Training"));
  EXPECT_EQ(plane.machine_->stop_calls(First("job")), 0);
  plane.clock_.Advance(3'600'000);
  ASSERT_TRUE(Eventually([&] { return plane.machine_->stop_calls(First("job")) == 1; }));
  plane.machine_->AdvanceTo(First("job"), Phase::kEnded);
  ASSERT_TRUE(plane.AwaitStatus("job", "Stopped"));
  EXPECT_EQ(plane.Describe("job").SecondaryStatus, "MaxRuntimeExceeded");
}

TEST(TrainingJobReconciler, AJobWithoutRoomWaitsAndCanBeStopped) {
  ControlPlane plane;
  plane.Close();
  plane.capacity_vcpus_ = 2;
  plane.Open();
  plane.Create(TestRequest("first"));
  ASSERT_TRUE(plane.AwaitStarted(First("first")));
  plane.Create(TestRequest("second"));
  plane.Create(TestRequest("third"));
  ASSERT_TRUE(plane.AwaitSecondary("second", "Pending"));
  ASSERT_TRUE(plane.AwaitSecondary("third", "Pending"));
  ASSERT_TRUE(plane.frontend_->Stop({"second"}));
  ASSERT_TRUE(plane.AwaitStatus("second", "Stopped"));
  EXPECT_EQ(plane.machine_->created(First("third")), 0);
  plane.machine_->AdvanceTo(First("first"), Phase::kEnded);
  ASSERT_TRUE(plane.AwaitStarted(First("third")));
  plane.machine_->AdvanceTo(First("third"), Phase::kEnded);
  EXPECT_TRUE(plane.AwaitStatus("third", "Completed"));
}

TEST(TrainingJobReconciler, ARestartAdoptsWhatRuns) {
  ControlPlane plane;
  plane.Create(TestRequest("job"));
  ASSERT_TRUE(plane.AwaitStarted(First("job")));
  plane.machine_->AdvanceTo(First("job"), Phase::kTraining);
  ASSERT_TRUE(plane.AwaitSecondary("job", "Training"));
  plane.machine_->Print(First("job"), "before");
  plane.Close();
  plane.machine_->Print(First("job"), "while it was away");
  plane.Open();
  plane.machine_->Print(First("job"), "after");
  plane.machine_->AdvanceTo(First("job"), Phase::kEnded);
  ASSERT_TRUE(plane.AwaitStatus("job", "Completed"));
  EXPECT_THAT(plane.LogLines("job"), ElementsAre("before", "while it was away", "after"));
  EXPECT_EQ(plane.machine_->created(First("job")), 1);
}

TEST(TrainingJobReconciler, WhatAJobPrintsIsNoReasonToLookAtItsState) {
  ControlPlane plane;
  plane.Create(TestRequest("job"));
  ASSERT_TRUE(plane.AwaitStarted(First("job")));
  plane.machine_->AdvanceTo(First("job"), Phase::kTraining);
  ASSERT_TRUE(plane.AwaitSecondary("job", "Training"));
  int64_t begin_ms = MonotonicMs(), before = plane.machine_->inspections();
  for (int line = 0; line < 2000; ++line) {
    plane.machine_->Print(First("job"), std::to_string(line));
    if (line % 100 == 0) ASSERT_TRUE(plane.log_pump_->Drain(First("job")));
  }
  int64_t looks = plane.machine_->inspections() - before, resyncs = (MonotonicMs() - begin_ms) / 500 + 2;
  EXPECT_LE(looks, 2 * resyncs);
  plane.machine_->AdvanceTo(First("job"), Phase::kEnded);
  ASSERT_TRUE(plane.AwaitStatus("job", "Completed"));
  EXPECT_EQ(plane.LogLines("job").size(), 2000u);
}

TEST(TrainingJobReconciler, AnInstanceOfNoJobIsDestroyedAtStart) {
  ControlPlane plane;
  plane.Create(TestRequest("job"));
  ASSERT_TRUE(plane.AwaitStarted(First("job")));
  driver::InstanceSpec orphan = *plane.machine_->spec(First("job"));
  orphan.id = InstanceId("ghost.1.0");
  orphan.channels.clear();
  orphan.source_archive.clear();
  ASSERT_TRUE(plane.driver_->Start(orphan));
  plane.Restart();
  EXPECT_THAT(plane.machine_->running(), ElementsAre(First("job")));
}

TEST(TrainingJobReconciler, ALostInstanceFailsTheJobAndIsNotStartedAgain) {
  ControlPlane plane;
  plane.Create(TestRequest("job"));
  ASSERT_TRUE(plane.AwaitStarted(First("job")));
  plane.machine_->AdvanceTo(First("job"), Phase::kTraining);
  plane.machine_->Lose(First("job"));
  ASSERT_TRUE(plane.AwaitStatus("job", "Failed"));
  EXPECT_THAT(*plane.Describe("job").FailureReason, HasSubstr("algo-1"));
  EXPECT_EQ(plane.machine_->created(First("job")), 1);
}

TEST(TrainingJobReconciler, AFailedInstanceStopsItsPeers) {
  ControlPlane plane;
  sm::CreateTrainingJobRequest request = TestRequest("job");
  request.ResourceConfig->InstanceCount = 2;
  plane.machine_->SetScripts([](const driver::InstanceSpec& spec) {
    FakeScript script;
    if (spec.rank == 1) {
      script.automatic = true;
      script.exit_code = 1;
      script.failure_reason = "OSError: disk";
    }
    return script;
  });
  plane.Create(request);
  InstanceId peer = InstanceIdOf(JobName("job"), 1, 0);
  ASSERT_TRUE(plane.StartGang("job", 1, 2));
  ASSERT_TRUE(Eventually([&] { return plane.machine_->stop_calls(peer) >= 1; }));
  plane.machine_->AdvanceTo(peer, Phase::kEnded);
  ASSERT_TRUE(plane.AwaitStatus("job", "Failed"));
  EXPECT_EQ(plane.Describe("job").FailureReason, "AlgorithmError: instance algo-2 failed: OSError: disk");
}

TEST(TrainingJobReconciler, AFailedProgramStopsItsPeersBeforeItsArchivesAreMade) {
  ControlPlane plane;
  sm::CreateTrainingJobRequest request = TestRequest("job");
  request.ResourceConfig->InstanceCount = 2;
  plane.machine_->SetScripts([](const driver::InstanceSpec& spec) {
    FakeScript script;
    script.ends_on_stop = spec.rank == 0;
    script.exit_code = spec.rank;
    script.failure_reason = "OSError: disk";
    return script;
  });
  plane.Create(request);
  InstanceId peer = InstanceIdOf(JobName("job"), 1, 0), failing = InstanceIdOf(JobName("job"), 1, 1);
  ASSERT_TRUE(plane.StartGang("job", 1, 2));
  plane.machine_->AdvanceTo(failing, Phase::kUploading);
  ASSERT_TRUE(Eventually([&] { return plane.machine_->stop_calls(peer) >= 1; }));
  plane.machine_->AdvanceTo(peer, Phase::kEnded);
  plane.machine_->AdvanceTo(failing, Phase::kEnded);
  ASSERT_TRUE(plane.AwaitStatus("job", "Failed"));
  EXPECT_EQ(plane.Describe("job").FailureReason, "AlgorithmError: instance algo-2 failed: OSError: disk");
}

}  // namespace
}  // namespace sagebrush::control
