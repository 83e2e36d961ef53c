#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"

namespace sagebrush::domain {

// TrainingJobStatus of the API. Edges:
//   InProgress → Completed | Failed | Stopping | Stopped;  Stopping → Stopped | Failed | Completed.
// Completed, Failed and Stopped are final.
enum class TrainingJobStatus { kInProgress, kStopping, kCompleted, kFailed, kStopped };

// SecondaryStatus of the API, in the order in which a job may pass them. A job moves forward, and may skip, but for 7.
//  1 Starting → 2 Pending → 3 Downloading → 4 Training → 5 Uploading → final
//  any of 1 to 5 → 6 Stopping → 5 Uploading (once) → final
//  any of 1 to 4 → 7 Interrupted (spot) or Restarting (RetryStrategy): the attempt is over and the next one begins, at
//  1 final: Completed, Failed, Stopped, MaxRuntimeExceeded, MaxWaitTimeExceeded
enum class SecondaryStatus {
  kInterrupted,
  kRestarting,
  kStarting,
  kPending,
  kDownloading,
  kTraining,
  kStopping,
  kUploading,
  kCompleted,
  kFailed,
  kStopped,
  kMaxRuntimeExceeded,
  kMaxWaitTimeExceeded,
};

std::string_view ToString(TrainingJobStatus status);
std::string_view ToString(SecondaryStatus status);
std::optional<TrainingJobStatus> ParseTrainingJobStatus(std::string_view text);
std::optional<SecondaryStatus> ParseSecondaryStatus(std::string_view text);

bool IsFinal(TrainingJobStatus status);
bool IsFinal(SecondaryStatus status);

struct Transition {
  SecondaryStatus status = SecondaryStatus::kStarting;
  int64_t start_ms = 0;
  int64_t end_ms = 0;  // 0 while it lasts
  std::string message;

  bool operator==(const Transition&) const = default;
};

// Why a job is being ended before its program ended by itself.
enum class StopCause { kNone, kRequested, kMaxRuntime, kMaxWait, kPeerFailed, kStartTimeout };

// How a job ends; decided once, before artifacts are published, and never changed.
struct Outcome {
  TrainingJobStatus status = TrainingJobStatus::kFailed;
  SecondaryStatus secondary = SecondaryStatus::kFailed;
  std::string failure_reason;

  bool operator==(const Outcome&) const = default;
};

// What is recorded of one training job beside its request: the state that a restart continues from. Changed only by
// the functions below and the reconciler's commits.
struct TrainingJobState {
  TrainingJobStatus status = TrainingJobStatus::kInProgress;
  std::vector<Transition> transitions;  // never empty; the last is the current one
  int64_t created_ms = 0, modified_ms = 0;
  int64_t admitted_ms = 0;  // room was given; 0 before
  int64_t training_started_ms = 0, training_ended_ms = 0;
  int attempt = 1;
  int64_t attempt_training_started_ms = 0;  // as training_started_ms, which is the first attempt's
  int64_t attempt_ended_ms = 0;             // of the attempt before this one
  bool start_intended = false;              // start intents of all instances of this attempt are committed
  bool restarting = false;                  // this attempt is over; its instances end, and the next one follows
  StopCause stop_cause = StopCause::kNone;
  std::string stop_reason;  // FailureReason that kStartTimeout leads to
  std::optional<Outcome> outcome;
  bool artifacts_published = false;
  std::string model_artifacts;     // S3 URI once published
  std::string checkpoint_failure;  // why checkpoints could not be stored at the end; "" when they are
  bool instances_destroyed = false;

  SecondaryStatus secondary() const { return transitions.back().status; }
  std::string failure_reason() const { return outcome ? outcome->failure_reason : std::string(); }
  bool operator==(const TrainingJobState&) const = default;
};

TrainingJobState NewTrainingJobState(int64_t now_ms);

// Moves to `status`, closing the current transition; a repeated status only replaces its message. An illegal step is
// a broken invariant (kInternal) and changes nothing.
Result<void> Advance(TrainingJobState& state, SecondaryStatus status, std::string message, int64_t now_ms);
// This attempt is over for `reason`: Interrupted when the job runs on spot capacity, else Restarting.
Result<void> BeginRestart(TrainingJobState& state, bool spot, const std::string& reason, int64_t now_ms);
// The attempt's instances are gone: the next one begins. Room and the first training start are kept.
void BeginAttempt(TrainingJobState& state, int64_t now_ms);
// Ends the job by its decided outcome.
Result<void> Finish(TrainingJobState& state, int64_t now_ms);

std::string ToJson(const TrainingJobState& state);
Result<TrainingJobState> TrainingJobStateFromJson(std::string_view json);

}  // namespace sagebrush::domain
