#include "domain/training_job_plan.h"

#include <algorithm>
#include <limits>

#include "base/text.h"

namespace sagebrush::domain {
namespace {

using Phase = ObservedInstance::Phase;

bool IsOver(const ObservedInstance& instance) {
  return instance.phase == Phase::kEnded || instance.phase == Phase::kLost;
}

bool AllOver(const std::vector<ObservedInstance>& instances) {
  return std::all_of(instances.begin(), instances.end(), IsOver);
}

constexpr size_t kMaxReasonCharacters = 1024;  // FailureReason of the API

std::string CutReason(const std::string& reason) {
  std::string text = ReplaceInvalidUtf8(reason);
  size_t characters = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    if ((static_cast<unsigned char>(text[at]) & 0xC0) == 0x80 || ++characters <= kMaxReasonCharacters) continue;
    text.resize(at);
    break;
  }
  return text;
}

// Among several, the host is named.
std::string FailureOf(const std::vector<ObservedInstance>& instances, size_t rank) {
  const ObservedInstance& instance = instances[rank];
  std::string host = "algo-" + std::to_string(rank + 1);
  if (instance.phase == Phase::kLost) {
    return "InternalServerError: the agent of instance " + host +
           " ended without an outcome (killed, or the machine restarted). Start the job again.";
  }
  if (instance.machine_failed) {
    const std::string& reason = instance.failure_reason;
    return CutReason(
        "InternalServerError: instance " + host + " broke: " + reason + (reason.ends_with('.') ? "" : ".") +
        " Start the job again; if it happens every time, 'sagebrush doctor' tells what this machine lacks.");
  }
  return CutReason("AlgorithmError: " + (instances.size() > 1 ? "instance " + host + " failed: " : std::string()) +
                   instance.failure_reason);
}

// What became of a program counts, not how long the archives took thereafter. No program takes its agent or its
// instance along, so the loss of one is nobody's consequence.
int64_t FailedAt(const ObservedInstance& instance) {
  if (instance.phase == Phase::kLost || instance.machine_failed) return 0;
  int64_t at_ms = instance.training_ended_ms != 0 ? instance.training_ended_ms : instance.ended_ms;
  return at_ms != 0 ? at_ms : std::numeric_limits<int64_t>::max();
}

// The failure that came first is the cause; later ones are mostly its consequences.
std::string FirstFailure(const std::vector<ObservedInstance>& instances) {
  std::optional<size_t> first;
  for (size_t rank = 0; rank < instances.size(); ++rank) {
    const ObservedInstance& instance = instances[rank];
    bool failed = instance.phase == Phase::kLost || (instance.phase == Phase::kEnded && !instance.succeeded);
    if (!failed || (instance.stopped && instance.phase == Phase::kEnded)) continue;
    if (!first || FailedAt(instance) < FailedAt(instances[*first])) first = rank;
  }
  return first ? FailureOf(instances, *first) : std::string();
}

Outcome FailedOutcome(std::string reason) {
  return {TrainingJobStatus::kFailed, SecondaryStatus::kFailed, std::move(reason)};
}

Outcome StoppedOutcome(StopCause cause, const std::string& reason) {
  switch (cause) {
    case StopCause::kStartTimeout:
      return FailedOutcome(reason);
    case StopCause::kMaxRuntime:
      return {TrainingJobStatus::kStopped, SecondaryStatus::kMaxRuntimeExceeded, ""};
    case StopCause::kMaxWait:
      return {TrainingJobStatus::kStopped, SecondaryStatus::kMaxWaitTimeExceeded, ""};
    default:
      return {TrainingJobStatus::kStopped, SecondaryStatus::kStopped, ""};
  }
}

// Every instance is over: what became of the job?
Outcome OutcomeOf(const TrainingJobState& state, const std::vector<ObservedInstance>& instances) {
  // A program that fails because it was told to stop has not failed.
  if (state.stop_cause == StopCause::kStartTimeout) return StoppedOutcome(state.stop_cause, state.stop_reason);
  if (state.stop_cause != StopCause::kNone && state.stop_cause != StopCause::kPeerFailed) {
    for (size_t rank = 0; rank < instances.size(); ++rank) {
      if (instances[rank].phase == Phase::kLost) return FailedOutcome(FailureOf(instances, rank));
    }
    return StoppedOutcome(state.stop_cause, state.stop_reason);
  }
  std::string failure = FirstFailure(instances);
  if (!failure.empty()) return FailedOutcome(std::move(failure));
  if (state.stop_cause == StopCause::kPeerFailed) {
    return FailedOutcome("InternalServerError: an instance failed without leaving a reason.");
  }
  return {TrainingJobStatus::kCompleted, SecondaryStatus::kCompleted, ""};
}

int64_t LastTrainingEnd(const std::vector<ObservedInstance>& instances) {
  int64_t last = 0;
  for (const ObservedInstance& instance : instances) last = std::max(last, instance.training_ended_ms);
  return last;
}

// The failures that RetryStrategy is for, and that interrupt a spot job: the service's own, not the program's.
bool MayRestart(const TrainingJobLimits& limits, const TrainingJobState& state, const std::string& failure) {
  if (!failure.starts_with("InternalServerError:") || state.stop_cause != StopCause::kNone) return false;
  return limits.spot || state.attempt <= limits.max_retries;
}

// The attempt is over with this outcome; is the job?
Action Conclude(const TrainingJobLimits& limits, const TrainingJobState& state, Outcome outcome,
                int64_t training_ended_ms) {
  if (MayRestart(limits, state, outcome.failure_reason)) return action::BeginRestart{std::move(outcome.failure_reason)};
  return action::Decide{std::move(outcome), training_ended_ms};
}

// The time limit that is over, if one is.
StopCause LimitPassed(const TrainingJobLimits& limits, const TrainingJobState& state, int64_t now_ms) {
  if (state.training_started_ms != 0 && now_ms - state.training_started_ms >= limits.max_runtime_ms) {
    return StopCause::kMaxRuntime;
  }
  if (limits.max_wait_ms > 0 && now_ms - state.created_ms >= limits.max_wait_ms) return StopCause::kMaxWait;
  return StopCause::kNone;
}

// An attempt that fails at once is not repeated at once: 100 ms, doubled with each attempt, to a minute.
int64_t RestartDelayMs(int attempt) { return std::min<int64_t>(int64_t{100} << std::min(attempt - 2, 10), 60'000); }

std::vector<Action> PlanBeforeStart(const TrainingJobLimits& limits, const TrainingJobState& state,
                                    const TrainingJobActual& actual, int64_t now_ms) {
  if (state.stop_cause != StopCause::kNone)
    return {action::Decide{StoppedOutcome(state.stop_cause, state.stop_reason), 0}};
  StopCause limit = LimitPassed(limits, state, now_ms);
  bool pending = state.attempt == 1 && limits.max_pending_ms > 0;
  if (pending && now_ms - state.created_ms >= limits.max_pending_ms) limit = StopCause::kMaxWait;
  if (limit != StopCause::kNone) return {action::Decide{StoppedOutcome(limit, ""), 0}};
  if (state.attempt > 1 && now_ms - state.attempt_ended_ms < RestartDelayMs(state.attempt)) return {};
  if (state.admitted_ms == 0) {
    if (actual.has_room) return {action::Admit{}};
    if (state.secondary() == SecondaryStatus::kStarting) {
      return {action::ShowProgress{SecondaryStatus::kPending, "Waiting for room on this machine"}};
    }
    return {};
  }
  if (actual.image == TrainingJobActual::Image::kFailed)
    return {action::Decide{FailedOutcome(actual.image_failure), 0}};
  if (actual.image == TrainingJobActual::Image::kPreparing) {
    if (state.secondary() < SecondaryStatus::kDownloading) {
      return {action::ShowProgress{SecondaryStatus::kDownloading, "Preparing the training image"},
              action::PrepareImage{}};
    }
    return {action::PrepareImage{}};
  }
  return {action::IntendStart{}};
}

void PlanProgress(const TrainingJobState& state, const std::vector<ObservedInstance>& instances,
                  std::vector<Action>& actions) {
  int64_t started_ms = 0;
  Phase lowest = Phase::kLost;
  for (const ObservedInstance& instance : instances) {
    lowest = std::min(lowest, instance.phase);
    if (instance.training_started_ms != 0 && (started_ms == 0 || instance.training_started_ms < started_ms)) {
      started_ms = instance.training_started_ms;
    }
  }
  SecondaryStatus shown = state.secondary();
  if (started_ms == 0 && lowest >= Phase::kDownloading && shown < SecondaryStatus::kDownloading) {
    actions.push_back(action::ShowProgress{SecondaryStatus::kDownloading, "Downloading input data"});
    shown = SecondaryStatus::kDownloading;
  }
  if (started_ms != 0 && shown < SecondaryStatus::kTraining) {
    if (shown < SecondaryStatus::kDownloading) {
      actions.push_back(action::ShowProgress{SecondaryStatus::kDownloading, "Downloading input data"});
    }
    actions.push_back(
        action::ShowProgress{SecondaryStatus::kTraining, "Training image download completed. Training in progress."});
  }
  if (started_ms != 0 && state.attempt_training_started_ms == 0) {
    actions.push_back(action::RecordTrainingStart{started_ms});
  }
}

std::string_view Doing(Phase phase) {
  switch (phase) {
    case Phase::kAbsent:
      return "it has not been started";
    case Phase::kStarting:
      return "its namespaces and mounts are being made";
    default:
      return "its source archive or the packages that it asks for are being installed; its log has the details";
  }
}

// A gang starts as one: the programs begin when every instance is ready for its own, and none does before. Those that
// are ready wait for the others, but not for ever.
void PlanGangStart(const TrainingJobLimits& limits, const TrainingJobState& state,
                   const std::vector<ObservedInstance>& instances, int64_t now_ms, std::vector<Action>& actions) {
  std::vector<size_t> waiting, missing;
  int64_t first_ready_ms = std::numeric_limits<int64_t>::max();
  for (size_t rank = 0; rank < instances.size(); ++rank) {
    const ObservedInstance& instance = instances[rank];
    if (instance.phase < Phase::kReady) missing.push_back(rank);
    if (instance.phase != Phase::kReady) continue;
    waiting.push_back(rank);
    first_ready_ms = std::min(first_ready_ms, instance.ready_ms);
  }
  if (missing.empty()) {
    for (size_t rank : waiting) actions.push_back(action::ReleaseInstance{static_cast<int>(rank)});
    return;
  }
  if (waiting.empty() || now_ms - first_ready_ms < limits.gang_wait_ms) return;
  std::string reason = "InternalServerError: instance algo-" + std::to_string(missing[0] + 1);
  if (missing.size() > 1) reason += " (and " + std::to_string(missing.size() - 1) + " more)";
  reason += " was not ready to start within " + std::to_string(limits.gang_wait_ms / 1000) + " s after the first of " +
            std::to_string(instances.size()) + " was: " + std::string(Doing(instances[missing[0]].phase)) +
            ". The setting gang_wait_seconds of the engine is this limit.";
  if (MayRestart(limits, state, reason)) {
    actions.push_back(action::BeginRestart{reason});
  } else {
    actions.push_back(action::BeginStop{StopCause::kStartTimeout, reason});
  }
}

// The attempt is over: whatever of it still runs is ended, then its remains are put away.
std::vector<Action> PlanRestart(const TrainingJobLimits& limits, const TrainingJobState& state,
                                const std::vector<ObservedInstance>& instances, int64_t now_ms) {
  if (!AllOver(instances)) return {action::StopInstances{"another instance was lost; the job starts again"}};
  if (state.stop_cause != StopCause::kNone) {
    return {action::Decide{StoppedOutcome(state.stop_cause, state.stop_reason), LastTrainingEnd(instances)}};
  }
  StopCause limit = LimitPassed(limits, state, now_ms);
  if (limit != StopCause::kNone) return {action::BeginStop{limit, ""}};
  return {action::EndAttempt{}};
}

// Some instances run, or have yet to start, and nothing keeps them from it but each other and the limits.
void PlanTogether(const TrainingJobLimits& limits, const TrainingJobState& state,
                  const std::vector<ObservedInstance>& instances, int64_t now_ms, std::vector<Action>& actions) {
  bool stopping = state.stop_cause != StopCause::kNone;
  bool some_failed = std::any_of(instances.begin(), instances.end(), [](const ObservedInstance& i) {
    return i.phase == Phase::kLost || (i.phase == Phase::kEnded && !i.succeeded) || (i.program_failed && !i.stopped);
  });
  if (some_failed) {
    std::string failure = FirstFailure(instances);
    if (MayRestart(limits, state, failure)) {
      actions.push_back(action::BeginRestart{std::move(failure)});
      return;
    }
  }
  StopCause limit = LimitPassed(limits, state, now_ms);
  if (!stopping && some_failed) actions.push_back(action::BeginStop{StopCause::kPeerFailed, ""});
  if (!stopping && !some_failed && limit != StopCause::kNone) actions.push_back(action::BeginStop{limit, ""});
  if (stopping || some_failed || limit != StopCause::kNone) {
    bool by_limit = limit != StopCause::kNone && state.stop_cause != StopCause::kRequested;
    std::string over = limit == StopCause::kMaxWait ? "MaxWaitTimeInSeconds is over" : "MaxRuntimeInSeconds is over";
    actions.push_back(action::StopInstances{some_failed ? "another instance failed"
                                            : state.stop_cause == StopCause::kStartTimeout
                                                ? "another instance is not there"
                                            : by_limit ? over
                                                       : "StopTrainingJob"});
    // A stop that came while instances were still being started: the rest never starts.
    return;
  }
  for (size_t rank = 0; rank < instances.size(); ++rank) {
    if (instances[rank].phase == Phase::kAbsent) actions.push_back(action::StartInstance{static_cast<int>(rank)});
  }
  PlanGangStart(limits, state, instances, now_ms, actions);
}

std::vector<Action> PlanRunning(const TrainingJobLimits& limits, const TrainingJobState& state,
                                const TrainingJobActual& actual, int64_t now_ms) {
  std::vector<Action> actions;
  const std::vector<ObservedInstance>& instances = actual.instances;
  if (state.restarting) return PlanRestart(limits, state, instances, now_ms);
  bool stopping = state.stop_cause != StopCause::kNone;
  bool all_absent = std::all_of(instances.begin(), instances.end(),
                                [](const ObservedInstance& i) { return i.phase == Phase::kAbsent; });
  if (all_absent && stopping) return {action::Decide{StoppedOutcome(state.stop_cause, state.stop_reason), 0}};
  if (all_absent && !actual.staging_failure.empty()) {
    return {Conclude(limits, state, FailedOutcome(actual.staging_failure), 0)};
  }

  PlanProgress(state, instances, actions);
  if (AllOver(instances)) {
    actions.push_back(Conclude(limits, state, OutcomeOf(state, instances), LastTrainingEnd(instances)));
    return actions;
  }
  // Staging failed for a later rank: those that run are stopped, the failure is the outcome.
  if (!actual.staging_failure.empty()) {
    bool some_run = std::any_of(instances.begin(), instances.end(),
                                [](const ObservedInstance& i) { return i.phase != Phase::kAbsent && !IsOver(i); });
    if (!some_run || MayRestart(limits, state, actual.staging_failure)) {
      return {Conclude(limits, state, FailedOutcome(actual.staging_failure), LastTrainingEnd(instances))};
    }
    if (!stopping) actions.push_back(action::BeginStop{StopCause::kPeerFailed, ""});
    actions.push_back(action::StopInstances{"another instance could not be started"});
    return actions;
  }
  PlanTogether(limits, state, instances, now_ms, actions);
  return actions;
}

// A stop, or the end of the attempt, while some ranks never started: absent ones count as over.
std::vector<ObservedInstance> WithoutNeverStarted(const TrainingJobState& state,
                                                  std::vector<ObservedInstance> instances) {
  if (state.stop_cause == StopCause::kNone && !state.restarting) return instances;
  bool any_present = std::any_of(instances.begin(), instances.end(),
                                 [](const ObservedInstance& i) { return i.phase != Phase::kAbsent; });
  if (!any_present && !state.restarting) return instances;
  for (ObservedInstance& instance : instances) {
    if (instance.phase != Phase::kAbsent) continue;
    instance.phase = Phase::kEnded;
    instance.stopped = true;
  }
  return instances;
}

}  // namespace

std::vector<Action> Plan(const TrainingJobLimits& limits, const TrainingJobState& state,
                         const TrainingJobActual& actual, int64_t now_ms) {
  if (IsFinal(state.status)) {
    if (state.instances_destroyed) return {};
    return {action::DestroyInstances{}};
  }
  if (state.outcome) {
    std::vector<Action> actions;
    if (!state.artifacts_published && state.start_intended) {
      if (state.secondary() < SecondaryStatus::kUploading && state.training_started_ms != 0) {
        actions.push_back(action::ShowProgress{SecondaryStatus::kUploading, "Uploading generated training model"});
      }
      actions.push_back(action::PublishArtifacts{});
      return actions;
    }
    return {action::FinishJob{}};
  }
  if (!state.start_intended) return PlanBeforeStart(limits, state, actual, now_ms);
  TrainingJobActual seen = actual;
  seen.instances = WithoutNeverStarted(state, std::move(seen.instances));
  return PlanRunning(limits, state, seen, now_ms);
}

}  // namespace sagebrush::domain
