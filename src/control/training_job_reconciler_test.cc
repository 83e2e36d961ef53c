#include "control/training_job_reconciler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "control/instance_spec.h"
#include "control/test_request.h"
#include "control/training_job_frontend.h"
#include "driver/fake/fake_driver.h"

namespace sagebrush::control {
namespace {

namespace fs = std::filesystem;
namespace sm = gen::sagemaker;
using driver::FakeDriver;
using driver::FakeMachine;
using driver::FakeScript;
using driver::Phase;
using testing::ElementsAre;
using testing::HasSubstr;

// A directory, a machine and stored objects that outlive engines, and one control plane at a time over them.
class ControlPlane {
 public:
  ControlPlane() {
    char pattern[] = "/tmp/sagebrush-reconciler-XXXXXX";
    directory_ = ::mkdtemp(pattern);
    fs::create_directories(directory_ / "machine");
    machine_ = std::make_shared<FakeMachine>(directory_ / "machine");
    WriteFakeUv();
    Open();
    EXPECT_TRUE(objects_->CreateBucket("bucket"));
    PutObject("data/a.csv", "1,2,3\n");
  }
  ~ControlPlane() {
    Close();
    fs::remove_all(directory_);
  }

  void Open() {
    objstore::BlobOwner owner{::geteuid(), ::getegid()};
    objects_ = *objstore::ObjectStore::Open(directory_ / "objects", owner, clock_);
    logs_ = *logstore::LogStore::Open(directory_ / "logs", clock_);
    database_ = *Database::Open(directory_ / "control.db");
    keys_ = *KeyRing::Open(directory_ / "credentials.json");
    driver_ = std::make_unique<FakeDriver>(machine_);
    jobs_.emplace(*database_);
    tags_.emplace(*database_);
    images_ = std::make_unique<EnvironmentCache>(
        *ImageCatalog::Load({}), EnvironmentCache::Options{.directory = directory_ / "images",
                                                           .uv = (directory_ / "uv").string(),
                                                           .on_change = [this] { reconciler_->WakeAll(); }});
    log_pump_ = std::make_unique<LogPump>(*driver_, *logs_);
    frontend_ = std::make_unique<TrainingJobFrontend>(
        *jobs_, *tags_, clock_, TrainingJobFrontend::Options{"000000000000", "us-west-2", [this](const JobName& job) {
                                                               reconciler_->Wake(job);
                                                             }});
    TrainingJobReconciler::Options options;
    options.region = "us-west-2";
    options.capacity_vcpus = capacity_vcpus_;
    options.owner = owner;
    options.epoch = database_->epoch();
    options.arn_of = [this](const std::string& job) { return frontend_->ArnOf(job); };
    reconciler_ = std::make_unique<TrainingJobReconciler>(*jobs_, *images_, *objects_, *driver_, *log_pump_, *keys_,
                                                          clock_, options);
    driver_->SetListener([this](const InstanceId& id) {
      log_pump_->Wake(id);
      reconciler_->WakeInstance(id);
    });
    log_pump_->Start();
    ASSERT_TRUE(reconciler_->Start());
  }

  void Close() {
    driver_->SetListener(nullptr);
    reconciler_->Stop();
    log_pump_->Stop();
    images_.reset();
    reconciler_.reset();
    frontend_.reset();
    log_pump_.reset();
    driver_.reset();
    tags_.reset();
    jobs_.reset();
    database_.reset();
    logs_.reset();
    objects_.reset();
  }
  void Restart() {
    Close();
    Open();
  }

  void PutObject(const std::string& key, const std::string& content) {
    auto writer = *objects_->Put("bucket", key, {});
    ASSERT_TRUE(writer->Append(content));
    ASSERT_TRUE(writer->Commit());
  }

  void Create(const sm::CreateTrainingJobRequest& request) { ASSERT_TRUE(frontend_->Create(request, "")); }
  sm::DescribeTrainingJobResponse Describe(const std::string& job) { return *frontend_->Describe({job}); }

  static bool Eventually(const std::function<bool()>& condition) {
    auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::yield();
    }
    return true;
  }
  bool AwaitStatus(const std::string& job, const std::string& status) {
    return Eventually([&] { return Describe(job).TrainingJobStatus == status; });
  }
  bool AwaitSecondary(const std::string& job, const std::string& status) {
    return Eventually([&] { return Describe(job).SecondaryStatus == status; });
  }
  bool AwaitStarted(const InstanceId& id) {
    return Eventually([&] { return machine_->created(id) == 1; });
  }
  bool AwaitCleanedUp() {
    return Eventually([&] { return jobs_->Active()->empty(); });
  }
  std::vector<std::string> LogLines(const std::string& job) {
    std::vector<std::string> lines;
    auto streams = logs_->ListStreams({.group = kTrainingJobLogGroup, .prefix = job + "/"});
    if (!streams) return lines;
    for (const auto& stream : streams->first) {
      auto page = logs_->Get({.group = kTrainingJobLogGroup, .stream = stream.name, .from_head = true});
      for (const auto& event : page->events) lines.push_back(event.message);
    }
    return lines;
  }
  bool HasObject(const std::string& key) { return objects_->Head("bucket", key).has_value(); }

  // Stands in for uv: makes the folder that uv would fill.
  void WriteFakeUv() {
    std::string script =
        "#!/bin/sh\nfor last; do :; done\ncase \"$*\" in *venv*--seed*) mkdir -p \"$last/bin\";; esac\n";
    ASSERT_TRUE(io::WriteFile(directory_ / "uv", script, 0755));
    ASSERT_EQ(::chmod((directory_ / "uv").c_str(), 0755), 0);
  }

  fs::path directory_;
  double capacity_vcpus_ = 8;
  ManualClock clock_{1'000'000};  // as the fake machine has it; time stands still
  std::shared_ptr<FakeMachine> machine_;
  std::unique_ptr<objstore::ObjectStore> objects_;
  std::unique_ptr<logstore::LogStore> logs_;
  std::unique_ptr<Database> database_;
  std::optional<KeyRing> keys_;
  std::unique_ptr<FakeDriver> driver_;
  std::optional<TrainingJobTable> jobs_;
  std::optional<TagTable> tags_;
  std::unique_ptr<EnvironmentCache> images_;
  std::unique_ptr<LogPump> log_pump_;
  std::unique_ptr<TrainingJobFrontend> frontend_;
  std::unique_ptr<TrainingJobReconciler> reconciler_;
};

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
  ASSERT_TRUE(ControlPlane::Eventually([&] { return plane.machine_->stop_calls(First("job")) == 1; }));
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
  ASSERT_TRUE(ControlPlane::Eventually([&] { return plane.machine_->stop_calls(First("job")) == 1; }));
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
  ASSERT_TRUE(plane.AwaitStarted(peer));
  ASSERT_TRUE(ControlPlane::Eventually([&] { return plane.machine_->stop_calls(peer) >= 1; }));
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
  ASSERT_TRUE(plane.AwaitStarted(peer));
  ASSERT_TRUE(plane.AwaitStarted(failing));
  plane.machine_->AdvanceTo(peer, Phase::kTraining);
  plane.machine_->AdvanceTo(failing, Phase::kUploading);
  ASSERT_TRUE(ControlPlane::Eventually([&] { return plane.machine_->stop_calls(peer) >= 1; }));
  plane.machine_->AdvanceTo(peer, Phase::kEnded);
  plane.machine_->AdvanceTo(failing, Phase::kEnded);
  ASSERT_TRUE(plane.AwaitStatus("job", "Failed"));
  EXPECT_EQ(plane.Describe("job").FailureReason, "AlgorithmError: instance algo-2 failed: OSError: disk");
}

}  // namespace
}  // namespace sagebrush::control
