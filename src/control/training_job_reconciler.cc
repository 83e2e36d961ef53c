#include "control/training_job_reconciler.h"

#include <algorithm>

#include "base/check.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "control/artifacts.h"
#include "control/instance_spec.h"
#include "control/staging.h"
#include "control/training_job_request.h"
#include "domain/instance_type.h"

namespace sagebrush::control {
namespace {

constexpr int kMostStepsInOneGo = 64;
// An agent that dies before it records anything is started anew, but not for ever.
constexpr int kMostStartCalls = 5;

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};

domain::ObservedInstance Observed(const driver::InstanceStatus& status) {
  using From = driver::Phase;
  using To = domain::ObservedInstance::Phase;
  domain::ObservedInstance seen;
  switch (status.phase) {
    case From::kStarting:
      seen.phase = To::kStarting;
      break;
    case From::kDownloading:
      seen.phase = To::kDownloading;
      break;
    case From::kTraining:
      seen.phase = To::kTraining;
      break;
    case From::kUploading:
      seen.phase = To::kUploading;
      break;
    case From::kEnded:
      seen.phase = To::kEnded;
      break;
    case From::kLost:
      seen.phase = To::kLost;
      break;
  }
  seen.succeeded = status.succeeded;
  seen.stopped = status.stopped;
  seen.training_started_ms = status.training_started_ms;
  seen.training_ended_ms = status.training_ended_ms;
  seen.ended_ms = status.ended_ms;
  seen.failure_reason = status.failure_reason;
  return seen;
}

double VcpusOf(const TrainingJobRecord& record) {
  Result<domain::InstanceType> type = domain::ParseInstanceType(*record.request.ResourceConfig->InstanceType);
  return type ? type->vcpus * static_cast<double>(*record.request.ResourceConfig->InstanceCount) : 1;
}

std::vector<std::string> StartIntents(const JobName& job, const TrainingJobRecord& record) {
  std::vector<std::string> intents;
  for (int rank = 0; rank < *record.request.ResourceConfig->InstanceCount; ++rank) {
    intents.push_back(job.value() + "/" + std::to_string(record.state.attempt) + "/start/" + std::to_string(rank));
  }
  return intents;
}

}  // namespace

TrainingJobReconciler::TrainingJobReconciler(TrainingJobTable& jobs, EnvironmentCache& images,
                                             objstore::ObjectStore& objects, driver::Driver& driver, LogPump& log_pump,
                                             const KeyRing& keys, const Clock& clock, Options options)
    : jobs_(jobs),
      images_(images),
      objects_(objects),
      driver_(driver),
      log_pump_(log_pump),
      keys_(keys),
      clock_(clock),
      options_(std::move(options)),
      admission_(options_.capacity_vcpus),
      queue_({.name = "training_jobs",
              .threads = 4,
              .resync_ms = 500,
              .work =
                  [this](const std::string& key) {
                    Result<void> done = Reconcile(JobName(key));
                    if (done) return;
                    Log(LogLevel::kError, "reconcile_failed", {{"job", key}, {"error", done.error().message}});
                  },
              .resync =
                  [this] {
                    std::vector<std::string> keys;
                    Result<std::vector<JobName>> active = jobs_.Active();
                    if (active) {
                      for (const JobName& job : *active) keys.push_back(job.value());
                    }
                    return keys;
                  }}) {}

Result<void> TrainingJobReconciler::Start() {
  TRYV(Recover());
  queue_.Start();
  return {};
}

Result<void> TrainingJobReconciler::Recover() {
  TRY(std::vector<JobName> active, jobs_.Active());
  std::set<InstanceId> ours;
  for (const JobName& job : active) {
    TRY(TrainingJobRecord record, jobs_.Get(job));
    if (!IsFinal(record.state.status)) {
      admission_.Enqueue(job, record.state.created_ms, VcpusOf(record));
      if (record.state.admitted_ms != 0) admission_.Admit(job);
    }
    for (const InstanceId& id : InstancesOf(record)) ours.insert(id);
    if (record.state.start_intended) WatchLogs(job, record);
  }
  TRY(std::vector<driver::InstanceStatus> found, driver_.List());
  for (const driver::InstanceStatus& instance : found) {
    if (ours.contains(instance.id)) continue;
    Log(LogLevel::kWarning, "orphan_destroyed", {{"instance", instance.id.value()}});
    TRYV(driver_.Destroy(instance.id));
  }
  Log(LogLevel::kInfo, "training_jobs_recovered",
      {{"active", active.size()}, {"instances", found.size()}, {"epoch", options_.epoch.value}});
  return {};
}

void TrainingJobReconciler::WakeInstance(const InstanceId& id) {
  Result<InstanceIdParts> parts = ParseInstanceId(id);
  if (parts) Wake(parts->job);
}

void TrainingJobReconciler::WakeAll() {
  Result<std::vector<JobName>> active = jobs_.Active();
  if (!active) return;
  for (const JobName& job : *active) Wake(job);
}

std::vector<InstanceId> TrainingJobReconciler::InstancesOf(const TrainingJobRecord& record) const {
  std::vector<InstanceId> ids;
  JobName job(record.request.TrainingJobName);
  for (int rank = 0; rank < *record.request.ResourceConfig->InstanceCount; ++rank) {
    ids.push_back(InstanceIdOf(job, record.state.attempt, rank));
  }
  return ids;
}

void TrainingJobReconciler::WatchLogs(const JobName& job, const TrainingJobRecord& record) {
  std::vector<InstanceId> ids = InstancesOf(record);
  for (size_t rank = 0; rank < ids.size(); ++rank) {
    log_pump_.Watch(ids[rank], LogPump::StreamName(job, static_cast<int>(rank), record.state.created_ms));
  }
}

Result<void> TrainingJobReconciler::Reconcile(const JobName& job) {
  for (int step = 0; step < kMostStepsInOneGo; ++step) {
    TRY(TrainingJobRecord record, jobs_.Get(job));
    domain::TrainingJobActual actual = Observe(job, record);
    std::vector<domain::Action> actions = domain::Plan(LimitsOf(record.request), record.state, actual, clock_.NowMs());
    bool again = false;
    for (const domain::Action& action : actions) {
      TRY(bool changed, Execute(job, record, action));
      again |= changed;
    }
    if (!again) return {};
  }
  BUG_IF(true);  // a plan that never settles
  return {};
}

domain::TrainingJobActual TrainingJobReconciler::Observe(const JobName& job, const TrainingJobRecord& record) {
  domain::TrainingJobActual actual;
  actual.instances.resize(static_cast<size_t>(*record.request.ResourceConfig->InstanceCount));
  if (IsFinal(record.state.status)) return actual;
  actual.staging_failure = StagingFailure(job);
  if (!record.state.start_intended) {
    admission_.Enqueue(job, record.state.created_ms, VcpusOf(record));
    if (record.state.admitted_ms == 0) {
      actual.has_room = admission_.HasRoom(job);
      return actual;
    }
    EnvironmentCache::State image = images_.Ensure(*record.request.AlgorithmSpecification->TrainingImage);
    using From = EnvironmentCache::State::Phase;
    using To = domain::TrainingJobActual::Image;
    actual.image = image.phase == From::kReady    ? To::kReady
                   : image.phase == From::kFailed ? To::kFailed
                                                  : To::kPreparing;
    actual.image_failure = image.failure;
    return actual;
  }
  std::vector<InstanceId> ids = InstancesOf(record);
  for (size_t rank = 0; rank < ids.size(); ++rank) {
    Result<driver::InstanceStatus> status = driver_.Inspect(ids[rank]);
    if (status) {
      actual.instances[rank] = Observed(*status);
    } else if (record.state.training_started_ms != 0 || status.error().kind != ErrorKind::kNotFound) {
      // It ran and is gone, or cannot be told: never start it a second time.
      actual.instances[rank].phase = domain::ObservedInstance::Phase::kLost;
      Log(LogLevel::kError, "instance_unknown", {{"instance", ids[rank].value()}, {"error", status.error().message}});
    }
  }
  return actual;
}

Result<bool> TrainingJobReconciler::Execute(const JobName& job, const TrainingJobRecord& record,
                                            const domain::Action& action) {
  using namespace domain::action;
  auto commit = [&](const TrainingJobTable::Change& change, std::vector<std::string> intents = {}) -> Result<bool> {
    TRYV(jobs_.Update(job, change, std::move(intents)));
    return true;
  };
  int64_t now_ms = clock_.NowMs();
  return std::visit(Overloaded{
                        [&](const Admit&) -> Result<bool> {
                          admission_.Admit(job);
                          return commit([&](domain::TrainingJobState& state) -> Result<void> {
                            if (state.admitted_ms == 0) state.admitted_ms = now_ms;
                            return {};
                          });
                        },
                        // Observe has asked for the environment already; its end wakes every job.
                        [&](const PrepareImage&) -> Result<bool> { return false; },
                        [&](const ShowProgress& step) {
                          return commit([&](domain::TrainingJobState& state) -> Result<void> {
                            if (state.secondary() > step.status) return {};  // a stop came in between
                            return Advance(state, step.status, step.message, now_ms);
                          });
                        },
                        [&](const IntendStart&) -> Result<bool> {
                          WatchLogs(job, record);
                          FAILPOINT("control.start.before_intent");
                          TRY(bool changed, commit(
                                                [](domain::TrainingJobState& state) -> Result<void> {
                                                  state.start_intended = state.stop_cause == domain::StopCause::kNone;
                                                  return {};
                                                },
                                                StartIntents(job, record)));
                          FAILPOINT("control.start.after_intent");
                          return changed;
                        },
                        [&](const domain::action::StartInstance& step) -> Result<bool> {
                          TRYV(this->StartInstance(job, record, step.rank));
                          return true;
                        },
                        [&](const RecordTrainingStart& step) {
                          return commit([&](domain::TrainingJobState& state) -> Result<void> {
                            state.training_started_ms = step.at_ms;
                            return {};
                          });
                        },
                        [&](const BeginStop& step) {
                          return commit([&](domain::TrainingJobState& state) -> Result<void> {
                            if (state.stop_cause != domain::StopCause::kNone) return {};
                            state.stop_cause = step.cause;
                            return Advance(state, std::max(state.secondary(), domain::SecondaryStatus::kStopping),
                                           "Stopping the training job", now_ms);
                          });
                        },
                        [&](const domain::action::StopInstances& step) -> Result<bool> {
                          TRYV(this->StopInstances(job, record, step.reason));
                          return false;
                        },
                        [&](const Decide& step) -> Result<bool> {
                          FAILPOINT("control.decide.before_commit");
                          TRY(bool changed, commit([&](domain::TrainingJobState& state) -> Result<void> {
                                if (!state.outcome) state.outcome = step.outcome;
                                state.training_ended_ms = step.training_ended_ms;
                                return {};
                              }));
                          FAILPOINT("control.decide.after_commit");
                          return changed;
                        },
                        [&](const domain::action::PublishArtifacts&) -> Result<bool> {
                          TRYV(this->PublishArtifacts(job, record));
                          return true;
                        },
                        [&](const domain::action::FinishJob&) -> Result<bool> {
                          TRYV(this->FinishJob(job));
                          return true;
                        },
                        [&](const domain::action::DestroyInstances&) -> Result<bool> {
                          TRYV(this->DestroyInstances(job, record));
                          return false;
                        },
                    },
                    action);
}

Result<driver::InstanceSpec> TrainingJobReconciler::PrepareInstance(const JobName& job, const TrainingJobRecord& record,
                                                                    int rank) {
  TRYV(CheckOutputBucket(objects_, record.request));
  std::string arn = options_.arn_of(job.value());
  TRY(driver::InstanceSpec spec, InstanceSpecOf(record, arn, rank));
  EnvironmentCache::State image = images_.Ensure(*record.request.AlgorithmSpecification->TrainingImage);
  if (image.phase == EnvironmentCache::State::Phase::kFailed) return Fail(InvalidArgument(image.failure));
  if (image.phase == EnvironmentCache::State::Phase::kPreparing) {
    // Only after a restart that finds the cache gone: the environment is made again and the start comes later.
    return Fail(Error(ErrorKind::kUnavailable, "the training image is being prepared"));
  }
  spec.environment = image.environment;
  spec.epoch = options_.epoch;
  spec.engine_socket = options_.engine_socket;
  wire::Credentials credentials = keys_.ForJob(job);
  spec.variables = {{"AWS_ACCESS_KEY_ID", credentials.access_key},
                    {"AWS_SECRET_ACCESS_KEY", credentials.secret},
                    {"AWS_DEFAULT_REGION", options_.region},
                    {"AWS_REGION", options_.region},
                    {"AWS_ENDPOINT_URL", driver::kEngineEndpoint},
                    {"S3_ENDPOINT_URL", driver::kEngineEndpoint},
                    {"AWS_EC2_METADATA_DISABLED", "true"},
                    {"TRAINING_JOB_NAME", job.value()},
                    {"TRAINING_JOB_ARN", arn}};
  if (!options_.ca_bundle.empty()) {
    spec.environment.read_only.push_back(options_.ca_bundle);
    spec.variables["AWS_CA_BUNDLE"] = spec.variables["REQUESTS_CA_BUNDLE"] = options_.ca_bundle.string();
  }
  for (const auto& [name, value] : record.request.Environment) spec.variables[name] = value;
  TRYV(StageInputs(objects_, record.request, driver_.StagingDirectory(spec.id), options_.owner, spec));
  return spec;
}

Result<void> TrainingJobReconciler::StartInstance(const JobName& job, const TrainingJobRecord& record, int rank) {
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
  FAILPOINT("control.start.after_effect");
  if (!started) {
    SetStagingFailure(job, "InternalServerError: an instance could not be started: " + started.error().message);
  }
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
  FAILPOINT("control.publish.before_effect");
  bool with_model = record.state.outcome->status != domain::TrainingJobStatus::kFailed;
  TRY(bool model_published, Publish(objects_, record.request, instances, with_model));
  FAILPOINT("control.publish.after_effect");
  TRYV(jobs_.Update(job, [&](domain::TrainingJobState& state) -> Result<void> {
    state.artifacts_published = true;
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

Result<void> TrainingJobReconciler::DestroyInstances(const JobName& job, const TrainingJobRecord& record) {
  for (const InstanceId& id : InstancesOf(record)) {
    FAILPOINT("control.destroy.before_effect");
    TRYV(driver_.Destroy(id));
    FAILPOINT("control.destroy.after_effect");
    log_pump_.Forget(id);
    std::lock_guard lock(mutex_);
    stop_sent_.erase(id);
    start_calls_.erase(id);
    staging_failures_.erase(job);
  }
  TRYV(jobs_.Update(job, [](domain::TrainingJobState& state) -> Result<void> {
    state.instances_destroyed = true;
    return {};
  }));
  images_.Forget(*record.request.AlgorithmSpecification->TrainingImage);
  JobName next = admission_.Release(job);
  if (!next.empty()) Wake(next);
  return {};
}

void TrainingJobReconciler::SetStagingFailure(const JobName& job, std::string reason) {
  std::lock_guard lock(mutex_);
  staging_failures_.try_emplace(job, std::move(reason));
}

std::string TrainingJobReconciler::StagingFailure(const JobName& job) {
  std::lock_guard lock(mutex_);
  auto found = staging_failures_.find(job);
  return found == staging_failures_.end() ? std::string() : found->second;
}

}  // namespace sagebrush::control
