#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "base/clock.h"
#include "control/admission.h"
#include "control/checkpoint_sync.h"
#include "control/credentials.h"
#include "control/images/environment_cache.h"
#include "control/instance_spec.h"
#include "control/instance_views.h"
#include "control/log_pump.h"
#include "control/training_job_table.h"
#include "control/training_metrics.h"
#include "control/work_queue.h"
#include "domain/training_job_plan.h"
#include "driver/driver.h"
#include "objstore/object_store.h"

namespace sagebrush::control {

// Brings every training job to its end: observes, plans (domain::Plan), and carries the plan out, one job at a time per
// key, again and again until nothing is left to do. Wake-ups are hints; a resync looks at every active job twice a
// second.
//
// Crash behaviour: what a step records is committed before its effect, under the engine's epoch. An instance's id
// follows from job, attempt and rank, and Start of a known id changes nothing, so a crash between an intent and its
// effect adopts the instance at the next start. Nothing is killed before every active job is loaded.
class TrainingJobReconciler {
 public:
  struct Options {
    std::string region;
    double capacity_vcpus = 8;
    int64_t gang_wait_ms = 900'000;  // TrainingJobLimits
    std::filesystem::path engine_socket;
    std::filesystem::path ca_bundle;      // shown to programs: trusts the engine's authority beside the public ones
    std::filesystem::path tensorflow_s3;  // directory of the s3:// plug-in, shown to programs; "" for none
    std::filesystem::path commands;       // directory of commands for programs, as driver::InstanceSpec has it
    objstore::BlobOwner owner{};
    Epoch epoch;
    std::function<std::string(const std::string& job)> arn_of;
    TrainingMetrics* metrics = nullptr;  // outlives the reconciler; nullptr: no metrics are kept
  };
  TrainingJobReconciler(TrainingJobTable& jobs, EnvironmentCache& images, objstore::ObjectStore& objects,
                        driver::Driver& driver, LogPump& log_pump, CheckpointSync& checkpoints, const KeyRing& keys,
                        const Clock& clock, Options options);

  // Loads every active job, compares with what the driver has, destroys instances that belong to none, and starts.
  Result<void> Start();
  void BeginStop() { queue_.BeginStop(); }  // as WorkQueue's
  void Stop() { queue_.Stop(); }

  void Wake(const JobName& job) { queue_.Add(job.value()); }
  void WakeInstance(const InstanceId& id);
  void WakeAll();

 private:
  Result<void> Recover();
  Result<void> Reconcile(const JobName& job);
  domain::TrainingJobActual Observe(const JobName& job, const TrainingJobRecord& record);
  // Whether planning again at once may bring something new.
  Result<bool> Execute(const JobName& job, const TrainingJobRecord& record, const domain::Action& action);
  Result<void> StartInstance(const JobName& job, const TrainingJobRecord& record, int rank);
  Result<driver::InstanceSpec> PrepareInstance(const JobName& job, const TrainingJobRecord& record, int rank);
  std::shared_ptr<const Gang> GangFor(const JobName& job, const TrainingJobRecord& record);
  Result<void> ReleaseInstance(const JobName& job, const TrainingJobRecord& record, int rank);
  Result<void> StopInstances(const JobName& job, const TrainingJobRecord& record, const std::string& reason);
  Result<void> EndAttempt(const JobName& job, const TrainingJobRecord& record);
  Result<std::string> StoreCheckpoints(const TrainingJobRecord& record);
  Result<void> RemoveInstances(const JobName& job, const TrainingJobRecord& record);
  Result<void> PublishArtifacts(const JobName& job, const TrainingJobRecord& record);
  Result<void> DestroyInstances(const JobName& job, const TrainingJobRecord& record);
  Result<void> FinishJob(const JobName& job);
  ImageRequest ImageOf(const TrainingJobRecord& record) const;
  void TellProgress(const JobName& job, const TrainingJobRecord& record, const std::vector<std::string>& progress);
  void WatchOutputs(const JobName& job, const TrainingJobRecord& record);
  std::vector<InstanceId> InstancesOf(const TrainingJobRecord& record) const;

  // Why a job's instances cannot be started; kept until the job is decided.
  void SetStagingFailure(const JobName& job, std::string reason);
  std::string StagingFailure(const JobName& job);

  TrainingJobTable& jobs_;
  EnvironmentCache& images_;
  objstore::ObjectStore& objects_;
  driver::Driver& driver_;
  LogPump& log_pump_;
  CheckpointSync& checkpoints_;
  const KeyRing& keys_;
  const Clock& clock_;
  const Options options_;
  Admission admission_;
  InstanceViews views_;
  std::mutex mutex_;
  std::map<JobName, std::string> staging_failures_;       // guarded by mutex_
  std::map<JobName, size_t> progress_told_;               // lines of its image's making; guarded by mutex_
  std::set<InstanceId> release_sent_, stop_sent_;         // guarded by mutex_
  std::map<JobName, std::shared_ptr<const Gang>> gangs_;  // of jobs that are starting; guarded by mutex_
  std::map<InstanceId, int> start_calls_;                 // of this engine; guarded by mutex_
  WorkQueue queue_;
};

}  // namespace sagebrush::control
