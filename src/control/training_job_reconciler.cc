#include "control/training_job_reconciler.h"

#include <algorithm>

#include "base/check.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "control/endpoint_reconciler.h"
#include "control/instance_groups.h"
#include "control/instance_spec.h"
#include "control/staging.h"
#include "control/training_job_request.h"

namespace sagebrush::control {
namespace {

constexpr int kMostStepsInOneGo = 64;

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};

std::vector<std::string> StartIntents(const JobName& job, const TrainingJobRecord& record) {
  int count = InstanceCountOf(record.request);
  std::vector<std::string> intents;
  for (int rank = 0; rank < count; ++rank) {
    intents.push_back(job.value() + "/" + std::to_string(record.state.attempt) + "/start/" + std::to_string(rank));
  }
  return intents;
}

}  // namespace

TrainingJobReconciler::TrainingJobReconciler(TrainingJobTable& jobs, EnvironmentCache& images,
                                             objstore::ObjectStore& objects, driver::Driver& driver, LogPump& log_pump,
                                             CheckpointSync& checkpoints, const KeyRing& keys, const Clock& clock,
                                             Options options)
    : jobs_(jobs),
      images_(images),
      objects_(objects),
      driver_(driver),
      log_pump_(log_pump),
      checkpoints_(checkpoints),
      keys_(keys),
      clock_(clock),
      options_(std::move(options)),
      admission_(options_.capacity_vcpus),
      views_(driver),
      queue_({.name = "training_jobs",
              .threads = 4,
              .resync_ms = 500,
              .work =
                  [this](const std::string& key) {
                    Result<void> done = Reconcile(JobName(key));
                    if (done || queue_.stopping()) return;
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
      admission_.Enqueue(job, record.state.created_ms, VcpusOf(record.request));
      if (record.state.admitted_ms != 0) admission_.Admit(job);
    }
    for (const InstanceId& id : InstancesOf(record)) ours.insert(id);
    if (record.state.start_intended) WatchOutputs(job, record);
  }
  TRY(std::vector<driver::InstanceStatus> found, driver_.List());
  for (const driver::InstanceStatus& instance : found) {
    if (ours.contains(instance.id) || !EndpointOf(instance.id).empty()) continue;
    Log(LogLevel::kWarning, "orphan_destroyed", {{"instance", instance.id.value()}});
    TRYV(driver_.Destroy(instance.id));
  }
  Log(LogLevel::kInfo, "training_jobs_recovered",
      {{"active", active.size()}, {"instances", found.size()}, {"epoch", options_.epoch.value}});
  return {};
}

void TrainingJobReconciler::WakeInstance(const InstanceId& id) {
  Result<InstanceIdParts> parts = ParseInstanceId(id);
  if (!parts) return;
  std::optional<int64_t> delay_ms = views_.Hint(parts->job, parts->rank);
  if (delay_ms && *delay_ms > 0) return queue_.AddAfter(parts->job.value(), *delay_ms);
  if (delay_ms) Wake(parts->job);
}

void TrainingJobReconciler::WakeAll() {
  Result<std::vector<JobName>> active = jobs_.Active();
  if (!active) return;
  for (const JobName& job : *active) Wake(job);
}

std::vector<InstanceId> TrainingJobReconciler::InstancesOf(const TrainingJobRecord& record) const {
  std::vector<InstanceId> ids;
  JobName job(record.request.TrainingJobName);
  int count = InstanceCountOf(record.request);
  for (int rank = 0; rank < count; ++rank) {
    ids.push_back(InstanceIdOf(job, record.state.attempt, rank));
  }
  return ids;
}

void TrainingJobReconciler::WatchOutputs(const JobName& job, const TrainingJobRecord& record) {
  std::vector<InstanceId> ids = InstancesOf(record);
  for (size_t rank = 0; rank < ids.size(); ++rank) {
    std::string stream = LogPump::StreamName(job, static_cast<int>(rank), record.state.created_ms);
    log_pump_.Watch(ids[rank], stream, record.state.attempt);
    if (options_.metrics != nullptr) options_.metrics->Watch(ids[rank], static_cast<int>(rank), stream, record);
    if (record.request.CheckpointConfig) checkpoints_.Watch(ids[rank], record.request.CheckpointConfig->S3Uri);
  }
}

Result<void> TrainingJobReconciler::Reconcile(const JobName& job) {
  for (int step = 0; step < kMostStepsInOneGo; ++step) {
    if (queue_.stopping()) return {};
    TRY(TrainingJobRecord record, jobs_.Get(job));
    domain::TrainingJobActual actual = Observe(job, record);
    domain::TrainingJobLimits limits = LimitsOf(record.request);
    limits.gang_wait_ms = options_.gang_wait_ms;
    std::vector<domain::Action> actions = domain::Plan(limits, record.state, actual, clock_.NowMs());
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
  actual.instances.resize(static_cast<size_t>(InstanceCountOf(record.request)));
  if (IsFinal(record.state.status)) return actual;
  actual.staging_failure = StagingFailure(job);
  if (!record.state.start_intended) {
    admission_.Enqueue(job, record.state.created_ms, VcpusOf(record.request));
    if (record.state.admitted_ms == 0) {
      actual.has_room = admission_.HasRoom(job);
      return actual;
    }
    EnvironmentCache::State image = images_.Ensure(ImageOf(record));
    TellProgress(job, record, image.progress);
    using From = EnvironmentCache::State::Phase;
    using To = domain::TrainingJobActual::Image;
    actual.image = image.phase == From::kReady    ? To::kReady
                   : image.phase == From::kFailed ? To::kFailed
                                                  : To::kPreparing;
    actual.image_failure = image.failure;
    return actual;
  }
  auto look = [&](bool whole) {
    return views_.Look(job, record.state.attempt, InstanceCountOf(record.request),
                       record.state.attempt_training_started_ms != 0, whole);
  };
  actual.instances = look(false);
  // A loss comes before the failures that follow from it, but may have come after that instance was looked at.
  bool some_failed = std::any_of(actual.instances.begin(), actual.instances.end(), [](const auto& instance) {
    return instance.program_failed ||
           (instance.phase == domain::ObservedInstance::Phase::kEnded && !instance.succeeded);
  });
  if (some_failed) actual.instances = look(true);
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
                          WatchOutputs(job, record);
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
                        [&](const domain::action::ReleaseInstance& step) -> Result<bool> {
                          TRYV(this->ReleaseInstance(job, record, step.rank));
                          return false;  // the instance's own news follow
                        },
                        [&](const RecordTrainingStart& step) {
                          return commit([&](domain::TrainingJobState& state) -> Result<void> {
                            state.attempt_training_started_ms = step.at_ms;
                            if (state.training_started_ms == 0) state.training_started_ms = step.at_ms;
                            return {};
                          });
                        },
                        [&](const domain::action::BeginStop& step) {
                          return commit([&](domain::TrainingJobState& state) -> Result<void> {
                            if (state.stop_cause != domain::StopCause::kNone) return {};
                            state.stop_cause = step.cause;
                            state.stop_reason = step.reason;
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
                        [&](const domain::action::BeginRestart& step) -> Result<bool> {
                          FAILPOINT("control.restart.before_commit");
                          TRY(bool changed, commit([&](domain::TrainingJobState& state) -> Result<void> {
                                if (state.stop_cause != domain::StopCause::kNone) return {};  // it came in between
                                bool spot = record.request.EnableManagedSpotTraining.value_or(false);
                                return domain::BeginRestart(state, spot, step.reason, now_ms);
                              }));
                          FAILPOINT("control.restart.after_commit");
                          return changed;
                        },
                        [&](const domain::action::EndAttempt&) -> Result<bool> {
                          TRYV(this->EndAttempt(job, record));
                          return true;
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

ImageRequest TrainingJobReconciler::ImageOf(const TrainingJobRecord& record) const {
  bool driver = BringsMpiDriver(objects_, record.request);
  return {*record.request.AlgorithmSpecification->TrainingImage, driver || EnablesMpi(record.request), driver};
}

// The making of an image is told in the log of host 1, before that host has anything to say itself.
void TrainingJobReconciler::TellProgress(const JobName& job, const TrainingJobRecord& record,
                                         const std::vector<std::string>& progress) {
  std::vector<std::string> news;
  {
    std::lock_guard lock(mutex_);
    size_t& told = progress_told_[job];
    for (; told < progress.size(); ++told) news.push_back("sagebrush: " + progress[told]);
  }
  if (news.empty()) return;
  Result<void> said =
      log_pump_.Say(LogPump::StreamName(job, 0, record.state.created_ms), std::move(news), clock_.NowMs());
  if (!said) Log(LogLevel::kWarning, "progress_not_told", {{"job", job.value()}, {"error", said.error().message}});
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
