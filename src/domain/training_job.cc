#include "domain/training_job.h"

#include <algorithm>
#include <array>
#include <utility>

namespace sagebrush::domain {
namespace {

constexpr std::array<std::pair<TrainingJobStatus, std::string_view>, 5> kStatuses = {{
    {TrainingJobStatus::kInProgress, "InProgress"},
    {TrainingJobStatus::kStopping, "Stopping"},
    {TrainingJobStatus::kCompleted, "Completed"},
    {TrainingJobStatus::kFailed, "Failed"},
    {TrainingJobStatus::kStopped, "Stopped"},
}};

constexpr std::array<std::pair<SecondaryStatus, std::string_view>, 13> kSecondaryStatuses = {{
    {SecondaryStatus::kInterrupted, "Interrupted"},
    {SecondaryStatus::kRestarting, "Restarting"},
    {SecondaryStatus::kStarting, "Starting"},
    {SecondaryStatus::kPending, "Pending"},
    {SecondaryStatus::kDownloading, "Downloading"},
    {SecondaryStatus::kTraining, "Training"},
    {SecondaryStatus::kStopping, "Stopping"},
    {SecondaryStatus::kUploading, "Uploading"},
    {SecondaryStatus::kCompleted, "Completed"},
    {SecondaryStatus::kFailed, "Failed"},
    {SecondaryStatus::kStopped, "Stopped"},
    {SecondaryStatus::kMaxRuntimeExceeded, "MaxRuntimeExceeded"},
    {SecondaryStatus::kMaxWaitTimeExceeded, "MaxWaitTimeExceeded"},
}};

template <class Table, class Status>
std::string_view NameOf(const Table& table, Status status) {
  for (const auto& [value, name] : table) {
    if (value == status) return name;
  }
  return "";
}

template <class Status, class Table>
std::optional<Status> ValueOf(const Table& table, std::string_view text) {
  for (const auto& [value, name] : table) {
    if (name == text) return value;
  }
  return std::nullopt;
}

std::string FinalMessage(const Outcome& outcome) {
  switch (outcome.secondary) {
    case SecondaryStatus::kCompleted:
      return "Training job completed";
    case SecondaryStatus::kStopped:
      return "Training job stopped";
    case SecondaryStatus::kMaxRuntimeExceeded:
      return "Training job runtime exceeded MaxRuntimeInSeconds provided";
    case SecondaryStatus::kMaxWaitTimeExceeded:
      return "Training job wait exceeded MaxWaitTimeInSeconds provided";
    default:
      return "Training job failed";
  }
}

}  // namespace

std::string_view ToString(TrainingJobStatus status) { return NameOf(kStatuses, status); }
std::string_view ToString(SecondaryStatus status) { return NameOf(kSecondaryStatuses, status); }
std::optional<TrainingJobStatus> ParseTrainingJobStatus(std::string_view text) {
  return ValueOf<TrainingJobStatus>(kStatuses, text);
}
std::optional<SecondaryStatus> ParseSecondaryStatus(std::string_view text) {
  return ValueOf<SecondaryStatus>(kSecondaryStatuses, text);
}

bool IsFinal(TrainingJobStatus status) {
  return status != TrainingJobStatus::kInProgress && status != TrainingJobStatus::kStopping;
}
bool IsFinal(SecondaryStatus status) { return status >= SecondaryStatus::kCompleted; }

TrainingJobState NewTrainingJobState(int64_t now_ms) {
  TrainingJobState state;
  state.created_ms = state.modified_ms = now_ms;
  state.transitions.push_back({SecondaryStatus::kStarting, now_ms, 0, "Starting the training job"});
  return state;
}

Result<void> Advance(TrainingJobState& state, SecondaryStatus status, std::string message, int64_t now_ms) {
  SecondaryStatus current = state.secondary();
  bool again = status < SecondaryStatus::kStarting && current <= SecondaryStatus::kTraining;
  if (IsFinal(current) || (status < current && !again) || (IsFinal(status) && !state.outcome)) {
    return Fail(Internal("a training job cannot go from " + std::string(ToString(current)) + " to " +
                         std::string(ToString(status))));
  }
  // Time never goes back within a job, whatever the wall clock does.
  now_ms = std::max(now_ms, state.modified_ms);
  if (status == current) {
    state.transitions.back().message = std::move(message);
  } else {
    state.transitions.back().end_ms = now_ms;
    state.transitions.push_back({status, now_ms, IsFinal(status) ? now_ms : 0, std::move(message)});
  }
  if (status == SecondaryStatus::kStopping) state.status = TrainingJobStatus::kStopping;
  state.modified_ms = now_ms;
  return {};
}

Result<void> BeginRestart(TrainingJobState& state, bool spot, const std::string& reason, int64_t now_ms) {
  if (state.outcome || state.stop_cause != StopCause::kNone || !state.start_intended) {
    return Fail(Internal("a training job that has not started, or is ending, cannot start again"));
  }
  TRYV(Advance(state, spot ? SecondaryStatus::kInterrupted : SecondaryStatus::kRestarting,
               "Attempt " + std::to_string(state.attempt) + " is over (" + reason + "); starting again", now_ms));
  state.restarting = true;
  return {};
}

void BeginAttempt(TrainingJobState& state, int64_t now_ms) {
  ++state.attempt;
  state.attempt_training_started_ms = 0;
  state.attempt_ended_ms = now_ms;
  state.start_intended = state.restarting = false;
}

Result<void> Finish(TrainingJobState& state, int64_t now_ms) {
  if (!state.outcome) return Fail(Internal("a training job cannot end without an outcome"));
  std::string message = FinalMessage(*state.outcome);
  if (!state.checkpoint_failure.empty()) message += "; checkpoints were not stored: " + state.checkpoint_failure;
  TRYV(Advance(state, state.outcome->secondary, std::move(message), now_ms));
  state.status = state.outcome->status;
  return {};
}

}  // namespace sagebrush::domain
