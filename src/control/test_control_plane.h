#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/instance_spec.h"
#include "control/test_request.h"
#include "control/test_waiting.h"
#include "control/training_job_frontend.h"
#include "control/training_job_reconciler.h"
#include "driver/fake/fake_driver.h"

namespace sagebrush::control {

// A directory, a machine and stored objects that outlive engines, and one control plane at a time over them.
class ControlPlane {
 public:
  ControlPlane() {
    char pattern[] = "/tmp/sagebrush-reconciler-XXXXXX";
    directory_ = ::mkdtemp(pattern);
    std::filesystem::create_directories(directory_ / "machine");
    machine_ = std::make_shared<driver::FakeMachine>(directory_ / "machine");
    WriteFakeUv();
    Open();
    EXPECT_TRUE(objects_->CreateBucket("bucket"));
    PutObject("data/a.csv", "1,2,3\n");
  }
  ~ControlPlane() {
    Close();
    std::filesystem::remove_all(directory_);
  }

  void Open() {
    objstore::BlobOwner owner{::geteuid(), ::getegid()};
    objects_ = *objstore::ObjectStore::Open(directory_ / "objects", owner, clock_);
    logs_ = *logstore::LogStore::Open(directory_ / "logs", clock_);
    metrics_ = *metricstore::MetricStore::Open(directory_ / "metrics", clock_);
    database_ = *Database::Open(directory_ / "control.db");
    keys_ = *KeyRing::Open(directory_ / "credentials.json");
    driver_ = std::make_unique<driver::FakeDriver>(machine_);
    jobs_.emplace(*database_);
    images_ = std::make_unique<EnvironmentCache>(
        *ImageCatalog::Load({}), EnvironmentCache::Options{.directory = directory_ / "images",
                                                           .uv = (directory_ / "uv").string(),
                                                           .on_change = [this] { reconciler_->WakeAll(); }});
    log_pump_ = std::make_unique<LogPump>(*driver_, *logs_);
    instance_metrics_.emplace(*driver_, *metrics_, clock_);
    training_metrics_.emplace(*metrics_, *logs_, *instance_metrics_);
    log_pump_->SetFollower(
        [this](const InstanceId& id, uint64_t recorded) { return training_metrics_->CatchUp(id, recorded); });
    checkpoints_ = std::make_unique<CheckpointSync>(*driver_, *objects_);
    frontend_ = std::make_unique<TrainingJobFrontend>(
        *jobs_, clock_,
        TrainingJobFrontend::Options{{"000000000000", "us-west-2"},
                                     [this](const JobName& job) { reconciler_->Wake(job); },
                                     &*training_metrics_});
    TrainingJobReconciler::Options options;
    options.region = "us-west-2";
    options.capacity_vcpus = capacity_vcpus_;
    options.gang_wait_ms = gang_wait_ms_;
    options.owner = owner;
    options.epoch = database_->epoch();
    options.arn_of = [this](const std::string& job) { return frontend_->ArnOf(job); };
    options.metrics = &*training_metrics_;
    reconciler_ = std::make_unique<TrainingJobReconciler>(*jobs_, *images_, *objects_, *driver_, *log_pump_,
                                                          *checkpoints_, *keys_, clock_, options);
    driver_->SetListener([this](const InstanceId& id, driver::News news) {
      if (news == driver::News::kLog) return log_pump_->Wake(id);
      reconciler_->WakeInstance(id);
    });
    log_pump_->Start();
    checkpoints_->Start();
    ASSERT_TRUE(reconciler_->Start());
  }

  void Close() {
    driver_->SetListener(nullptr);
    reconciler_->Stop();
    log_pump_->Stop();
    checkpoints_->Stop();
    images_.reset();
    reconciler_.reset();
    frontend_.reset();
    log_pump_.reset();
    checkpoints_.reset();
    training_metrics_.reset();
    instance_metrics_.reset();
    driver_.reset();
    jobs_.reset();
    database_.reset();
    metrics_.reset();
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

  void Create(const gen::sagemaker::CreateTrainingJobRequest& request) { ASSERT_TRUE(frontend_->Create(request, "")); }
  gen::sagemaker::DescribeTrainingJobResponse Describe(const std::string& job) { return *frontend_->Describe({job}); }

  bool AwaitStatus(const std::string& job, const std::string& status) {
    return Eventually([&] { return Describe(job).TrainingJobStatus == status; });
  }
  bool AwaitSecondary(const std::string& job, const std::string& status) {
    return Eventually([&] { return Describe(job).SecondaryStatus == status; });
  }
  // All instances of the attempt come to the start together and are let go.
  bool StartGang(const std::string& job, int attempt, int count) {
    for (int rank = 0; rank < count; ++rank) {
      InstanceId id = InstanceIdOf(JobName(job), attempt, rank);
      if (!AwaitStarted(id)) return false;
      machine_->AdvanceTo(id, driver::Phase::kReady);
    }
    return Eventually([&] {
      for (int rank = 0; rank < count; ++rank) {
        if (machine_->release_calls(InstanceIdOf(JobName(job), attempt, rank)) == 0) return false;
      }
      return true;
    });
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
  std::vector<std::string> Secondaries(const std::string& job) {
    std::vector<std::string> statuses;
    for (const auto& transition : Describe(job).SecondaryStatusTransitions) statuses.push_back(transition.Status);
    return statuses;
  }
  std::string ObjectText(const std::string& key) {
    auto content = objects_->Get("bucket", key);
    if (!content) return "";
    if (!content->file) return content->inline_bytes;
    return *io::ReadAt(content->file.get(), 0, content->info.size);
  }
  bool HasObject(const std::string& key) { return objects_->Head("bucket", key).has_value(); }

  // Stands in for uv: makes the folder that uv would fill.
  void WriteFakeUv() {
    std::string script =
        "#!/bin/sh\nfor last; do :; done\ncase \"$*\" in *venv*--seed*) mkdir -p \"$last/bin\";; esac\n";
    ASSERT_TRUE(io::WriteFile(directory_ / "uv", script, 0755));
    ASSERT_EQ(::chmod((directory_ / "uv").c_str(), 0755), 0);
  }

  std::filesystem::path directory_;
  double capacity_vcpus_ = 8;
  int64_t gang_wait_ms_ = 900'000;
  ManualClock clock_{1'000'000};  // as the fake machine has it; time stands still
  std::shared_ptr<driver::FakeMachine> machine_;
  std::unique_ptr<objstore::ObjectStore> objects_;
  std::unique_ptr<logstore::LogStore> logs_;
  std::unique_ptr<metricstore::MetricStore> metrics_;
  std::unique_ptr<Database> database_;
  std::optional<KeyRing> keys_;
  std::unique_ptr<driver::FakeDriver> driver_;
  std::optional<TrainingJobTable> jobs_;
  std::optional<InstanceMetrics> instance_metrics_;
  std::optional<TrainingMetrics> training_metrics_;
  std::unique_ptr<EnvironmentCache> images_;
  std::unique_ptr<LogPump> log_pump_;
  std::unique_ptr<CheckpointSync> checkpoints_;
  std::unique_ptr<TrainingJobFrontend> frontend_;
  std::unique_ptr<TrainingJobReconciler> reconciler_;
};

}  // namespace sagebrush::control
