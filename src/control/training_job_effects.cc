// What the reconciler causes outside the database: instances, artifacts, and the end of a job.
#include "base/failpoint.h"
#include "base/log.h"
#include "control/artifacts.h"
#include "control/instance_spec.h"
#include "control/staging.h"
#include "control/training_job_reconciler.h"
#include "control/training_job_request.h"

namespace sagebrush::control {
namespace {

// An agent that dies before it records anything is started anew, but not for ever.
constexpr int kMostStartCalls = 5;

}  // namespace

std::shared_ptr<const Gang> TrainingJobReconciler::GangFor(const JobName& job, const TrainingJobRecord& record) {
  std::lock_guard lock(mutex_);
  std::shared_ptr<const Gang>& gang = gangs_[job];
  if (gang == nullptr) gang = std::make_shared<const Gang>(GangOf(record.request));
  return gang;
}

Result<driver::InstanceSpec> TrainingJobReconciler::PrepareInstance(const JobName& job, const TrainingJobRecord& record,
                                                                    int rank) {
  TRYV(CheckOutputBuckets(objects_, record.request));
  std::string arn = options_.arn_of(job.value());
  TRY(driver::InstanceSpec spec, InstanceSpecOf(record, *GangFor(job, record), arn, rank));
  EnvironmentCache::State image = images_.Ensure(ImageOf(record));
  if (image.phase == EnvironmentCache::State::Phase::kFailed) return Fail(InvalidArgument(image.failure));
  if (image.phase == EnvironmentCache::State::Phase::kPreparing) {
    // Only after a restart that finds the cache gone: the environment is made again and the start comes later.
    return Fail(Error(ErrorKind::kUnavailable, "the training image is being prepared"));
  }
  spec.environment = image.environment;
  spec.epoch = options_.epoch;
  spec.engine_socket = options_.engine_socket;
  AddEngineAccess(keys_.ForJob(job), options_.region, options_.ca_bundle, spec);
  spec.variables["S3_ENDPOINT_URL"] = driver::kEngineEndpoint;
  spec.variables["TRAINING_JOB_NAME"] = job.value();
  spec.variables["TRAINING_JOB_ARN"] = arn;
  if (!options_.commands.empty()) {
    spec.environment.read_only.push_back(options_.commands);
    spec.commands = options_.commands;
  }
  if (!options_.tensorflow_s3.empty()) {
    spec.environment.read_only.push_back(options_.tensorflow_s3);
    spec.variables["SAGEBRUSH_TF_S3_PLUGIN"] = (options_.tensorflow_s3 / "libsagebrush_tf_s3.so").string();
  }
  for (const auto& [name, value] : record.request.Environment) spec.variables[name] = value;
  TRYV(StageInputs(objects_, record.request, driver_.StagingDirectory(spec.id), options_.owner, spec));
  if (const auto& checkpoints = record.request.CheckpointConfig) {
    TRY(spec.checkpoints.directory, checkpoints_.Restore(spec.id, checkpoints->S3Uri, options_.owner));
    spec.checkpoints.path = CheckpointPath(record.request);
  }
  return spec;
}

Result<void> TrainingJobReconciler::StartInstance(const JobName& job, const TrainingJobRecord& record, int rank) {
  // Staging begins by removing what an interrupted start has left: never under an instance that is there.
  if (driver_.Inspect(InstanceIdOf(job, record.state.attempt, rank))) {
    views_.Changed(job, rank);
    return {};
  }
  Result<driver::InstanceSpec> spec = PrepareInstance(job, record, rank);
  if (!spec && spec.error().retryable) {
    Log(LogLevel::kWarning, "start_postponed", {{"job", job.value()}, {"error", spec.error().message}});
    queue_.AddAfter(job.value(), 500);
    return Fail(std::move(spec).error());
  }
  if (!spec) {
    SetStagingFailure(job, spec.error().message);
    return {};
  }
  {
    std::lock_guard lock(mutex_);
    if (++start_calls_[spec->id] > kMostStartCalls) {
      staging_failures_.try_emplace(job, "InternalServerError: the agent of instance algo-" + std::to_string(rank + 1) +
                                             " died " + std::to_string(kMostStartCalls) +
                                             " times before it could begin; the engine's log has its last words, and "
                                             "'sagebrush doctor' checks this machine.");
      return {};
    }
  }
  FAILPOINT("control.start.before_effect");
  Result<void> started = driver_.Start(*spec);
  views_.Changed(job, rank);
  FAILPOINT("control.start.after_effect");
  if (!started) {
    SetStagingFailure(job, "InternalServerError: an instance could not be started: " + started.error().message);
  }
  return {};
}

Result<void> TrainingJobReconciler::ReleaseInstance(const JobName& job, const TrainingJobRecord& record, int rank) {
  InstanceId id = InstanceIdOf(job, record.state.attempt, rank);
  {
    std::lock_guard lock(mutex_);
    if (release_sent_.contains(id)) return {};
  }
  FAILPOINT("control.release.before_effect");
  TRYV(driver_.Release(id, options_.epoch));
  FAILPOINT("control.release.after_effect");
  std::lock_guard lock(mutex_);
  release_sent_.insert(id);
  return {};
}

Result<void> TrainingJobReconciler::StopInstances(const JobName&, const TrainingJobRecord& record,
                                                  const std::string& reason) {
  for (const InstanceId& id : InstancesOf(record)) {
    {
      std::lock_guard lock(mutex_);
      if (stop_sent_.contains(id)) continue;
    }
    FAILPOINT("control.stop.before_effect");
    Result<void> stopped = driver_.Stop(id, {options_.epoch, reason});
    FAILPOINT("control.stop.after_effect");
    if (!stopped && stopped.error().kind != ErrorKind::kNotFound) return stopped;
    std::lock_guard lock(mutex_);
    stop_sent_.insert(id);
  }
  return {};
}

Result<void> TrainingJobReconciler::PublishArtifacts(const JobName& job, const TrainingJobRecord& record) {
  std::vector<driver::InstanceStatus> instances;
  for (const InstanceId& id : InstancesOf(record)) {
    Result<driver::InstanceStatus> status = driver_.Inspect(id);
    if (!status) continue;  // never started
    // Readers may stop reading at the final status: every line is stored before it shows.
    TRYV(log_pump_.Drain(id));
    instances.push_back(*std::move(status));
  }
  TRY(std::string checkpoint_failure, StoreCheckpoints(record));
  FAILPOINT("control.publish.before_effect");
  bool with_model = record.state.outcome->status != domain::TrainingJobStatus::kFailed;
  TRY(bool model_published, Publish(objects_, record.request, instances, with_model));
  FAILPOINT("control.publish.after_effect");
  TRYV(jobs_.Update(job, [&](domain::TrainingJobState& state) -> Result<void> {
    state.artifacts_published = true;
    state.checkpoint_failure = checkpoint_failure;
    if (model_published) state.model_artifacts = ModelArtifactsUri(record.request);
    return {};
  }));
  return {};
}

Result<void> TrainingJobReconciler::FinishJob(const JobName& job) {
  FAILPOINT("control.finish.before_commit");
  TRY(domain::TrainingJobState state, jobs_.Update(job, [&](domain::TrainingJobState& state) -> Result<void> {
    if (IsFinal(state.status)) return {};
    return Finish(state, clock_.NowMs());
  }));
  FAILPOINT("control.finish.after_commit");
  Log(LogLevel::kInfo, "training_job_ended",
      {{"job", job.value()}, {"status", ToString(state.status)}, {"reason", state.failure_reason()}});
  return {};
}

// What the instances, which have ended, left in their directories of checkpoints. What cannot be stored for good does
// not keep the job: the answer says why, "" when all is stored.
Result<std::string> TrainingJobReconciler::StoreCheckpoints(const TrainingJobRecord& record) {
  std::string failure;
  for (const InstanceId& id : InstancesOf(record)) {
    Result<void> stored = checkpoints_.Sync(id);
    if (stored) continue;
    if (stored.error().retryable) return Fail(std::move(stored).error());
    if (failure.empty()) failure = stored.error().message;
  }
  return failure;
}

// The attempt's instances are over. Repeated after a crash it finds less to do, and the commit comes last.
Result<void> TrainingJobReconciler::EndAttempt(const JobName& job, const TrainingJobRecord& record) {
  for (const InstanceId& id : InstancesOf(record)) TRYV(log_pump_.Drain(id));
  TRY(std::string checkpoint_failure, StoreCheckpoints(record));
  TRYV(RemoveInstances(job, record));
  FAILPOINT("control.restart.before_next");
  TRYV(jobs_.Update(job, [&](domain::TrainingJobState& state) -> Result<void> {
    state.checkpoint_failure = checkpoint_failure;
    if (state.stop_cause == domain::StopCause::kNone) BeginAttempt(state, clock_.NowMs());
    return {};
  }));
  FAILPOINT("control.restart.after_next");
  Log(LogLevel::kWarning, "training_job_restarts", {{"job", job.value()}, {"after_attempt", record.state.attempt}});
  return {};
}

Result<void> TrainingJobReconciler::RemoveInstances(const JobName& job, const TrainingJobRecord& record) {
  views_.Forget(job);
  {
    std::lock_guard lock(mutex_);
    gangs_.erase(job);
  }
  for (const InstanceId& id : InstancesOf(record)) {
    FAILPOINT("control.destroy.before_effect");
    TRYV(driver_.Destroy(id));
    FAILPOINT("control.destroy.after_effect");
    log_pump_.Forget(id);
    if (options_.metrics != nullptr) options_.metrics->Forget(id);
    checkpoints_.Forget(id);
    std::lock_guard lock(mutex_);
    release_sent_.erase(id);
    stop_sent_.erase(id);
    start_calls_.erase(id);
    staging_failures_.erase(job);
    progress_told_.erase(job);
  }
  return {};
}

Result<void> TrainingJobReconciler::DestroyInstances(const JobName& job, const TrainingJobRecord& record) {
  TRYV(RemoveInstances(job, record));
  TRYV(jobs_.Update(job, [](domain::TrainingJobState& state) -> Result<void> {
    state.instances_destroyed = true;
    return {};
  }));
  images_.Forget(ImageOf(record));
  JobName next = admission_.Release(job);
  if (!next.empty()) Wake(next);
  return {};
}

}  // namespace sagebrush::control
