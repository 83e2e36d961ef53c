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
  return CutReason("AlgorithmError: " + (instances.size() > 1 ? "instance " + host + " failed: " : std::string()) +
                   instance.failure_reason);
}

// What became of a program counts, not how long the archives took thereafter. No program takes its agent along, so a
// lost instance is nobody's consequence.
int64_t FailedAt(const ObservedInstance& instance) {
  if (instance.phase == Phase::kLost) return 0;
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

Outcome StoppedOutcome(StopCause cause) {
  switch (cause) {
    case StopCause::kMaxRuntime:
      return {TrainingJobStatus::kStopped, SecondaryStatus::kMaxRuntimeExceeded, ""};
    case StopCause::kMaxWait:
      return {TrainingJobStatus::kStopped, SecondaryStatus::kMaxWaitTimeExceeded, ""};
    default:
      return {TrainingJobStatus::kStopped, SecondaryStatus::kStopped, ""};
  }
}

Outcome FailedOutcome(std::string reason) {
  return {TrainingJobStatus::kFailed, SecondaryStatus::kFailed, std::move(reason)};
}

// Every instance is over: what became of the job?
Outcome OutcomeOf(const TrainingJobState& state, const std::vector<ObservedInstance>& instances) {
  // A program that fails because it was told to stop has not failed.
  if (state.stop_cause != StopCause::kNone && state.stop_cause != StopCause::kPeerFailed) {
    for (size_t rank = 0; rank < instances.size(); ++rank) {
      if (instances[rank].phase == Phase::kLost) return FailedOutcome(FailureOf(instances, rank));
    }
    return StoppedOutcome(state.stop_cause);
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

std::vector<Action> PlanBeforeStart(const TrainingJobLimits& limits, const TrainingJobState& state,
                                    const TrainingJobActual& actual, int64_t now_ms) {
  if (state.stop_cause != StopCause::kNone) return {action::Decide{StoppedOutcome(state.stop_cause), 0}};
  if (limits.max_wait_ms > 0 && now_ms - state.created_ms >= limits.max_wait_ms) {
    return {action::Decide{StoppedOutcome(StopCause::kMaxWait), 0}};
  }
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
  if (started_ms != 0 && state.training_started_ms == 0) actions.push_back(action::RecordTrainingStart{started_ms});
}

std::vector<Action> PlanRunning(const TrainingJobLimits& limits, const TrainingJobState& state,
                                const TrainingJobActual& actual, int64_t now_ms) {
  std::vector<Action> actions;
  const std::vector<ObservedInstance>& instances = actual.instances;
  bool stopping = state.stop_cause != StopCause::kNone;
  bool all_absent = std::all_of(instances.begin(), instances.end(),
                                [](const ObservedInstance& i) { return i.phase == Phase::kAbsent; });
  if (all_absent && stopping) return {action::Decide{StoppedOutcome(state.stop_cause), 0}};
  if (all_absent && !actual.staging_failure.empty()) {
    return {action::Decide{FailedOutcome(actual.staging_failure), 0}};
  }

  PlanProgress(state, instances, actions);
  if (AllOver(instances)) {
    actions.push_back(action::Decide{OutcomeOf(state, instances), LastTrainingEnd(instances)});
    return actions;
  }
  // Staging failed for a later rank: those that run are stopped, the failure is the outcome.
  if (!actual.staging_failure.empty()) {
    bool some_run = std::any_of(instances.begin(), instances.end(),
                                [](const ObservedInstance& i) { return i.phase != Phase::kAbsent && !IsOver(i); });
    if (!some_run) return {action::Decide{FailedOutcome(actual.staging_failure), LastTrainingEnd(instances)}};
    if (!stopping) actions.push_back(action::BeginStop{StopCause::kPeerFailed});
    actions.push_back(action::StopInstances{"another instance could not be started"});
    return actions;
  }
  bool some_failed = std::any_of(instances.begin(), instances.end(), [](const ObservedInstance& i) {
    return i.phase == Phase::kLost || (i.phase == Phase::kEnded && !i.succeeded) || (i.program_failed && !i.stopped);
  });
  bool late = state.training_started_ms != 0 && now_ms - state.training_started_ms >= limits.max_runtime_ms;
  if (!stopping && some_failed) actions.push_back(action::BeginStop{StopCause::kPeerFailed});
  if (!stopping && !some_failed && late) actions.push_back(action::BeginStop{StopCause::kMaxRuntime});
  if (stopping || some_failed || late) {
    bool by_limit = late && state.stop_cause != StopCause::kRequested;
    actions.push_back(action::StopInstances{some_failed ? "another instance failed"
                                            : by_limit  ? "MaxRuntimeInSeconds is over"
                                                        : "StopTrainingJob"});
    // A stop that came while instances were still being started: the rest never starts.
    return actions;
  }
  for (size_t rank = 0; rank < instances.size(); ++rank) {
    if (instances[rank].phase == Phase::kAbsent) actions.push_back(action::StartInstance{static_cast<int>(rank)});
  }
  return actions;
}

// A stop while some ranks never started: absent ones count as over.
std::vector<ObservedInstance> WithoutNeverStarted(const TrainingJobState& state,
                                                  std::vector<ObservedInstance> instances) {
  if (state.stop_cause == StopCause::kNone) return instances;
  bool any_present = std::any_of(instances.begin(), instances.end(),
                                 [](const ObservedInstance& i) { return i.phase != Phase::kAbsent; });
  if (!any_present) return instances;
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
