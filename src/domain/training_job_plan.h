#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "domain/training_job.h"

namespace sagebrush::domain {

// What the planner needs of the request.
struct TrainingJobLimits {
  int instance_count = 1;
  int64_t max_runtime_ms = 86'400'000;  // from the first instance's training start, over all attempts
  int64_t max_wait_ms = 0;              // of a spot job, from creation to its end, all attempts included; 0: none
  int64_t max_pending_ms = 0;           // from creation to the first start; 0: none
  int64_t gang_wait_ms = 900'000;       // how long ready instances wait for those that are not
  bool spot = false;                    // the loss of an instance is an interruption; the job starts again
  int max_retries = 0;                  // RetryStrategy: how often it starts again after an InternalServerError
};

// One instance as the driver sees it now.
struct ObservedInstance {
  enum class Phase { kAbsent, kStarting, kDownloading, kReady, kTraining, kUploading, kEnded, kLost };
  Phase phase = Phase::kAbsent;
  bool succeeded = false;
  bool stopped = false;
  bool program_failed = false;  // its program has ended badly; the outcome may still be in the making (kUploading)
  bool machine_failed = false;  // kEnded: the instance broke, not its program
  int64_t ready_ms = 0, training_started_ms = 0, training_ended_ms = 0, ended_ms = 0;
  std::string failure_reason;
};

// What is true outside the database at this moment.
struct TrainingJobActual {
  bool has_room = false;  // admission would succeed now
  enum class Image { kPreparing, kReady, kFailed } image = Image::kPreparing;
  std::string image_failure;
  std::string staging_failure;  // a channel, the source archive or the output bucket cannot be had; "" otherwise
  std::vector<ObservedInstance> instances;  // by rank
};

// Steps, in the order in which they are to be taken. The reconciler commits what a step records before it causes the
// step's effect, and plans again after each effect.
namespace action {
struct Admit {};         // take room in the queue's order
struct PrepareImage {};  // make the environment, if it is not being made
struct ShowProgress {
  SecondaryStatus status;
  std::string message;
};
struct IntendStart {};  // commit the start intents of every rank
struct StartInstance {
  int rank;
};  // stage and start; adopts an existing instance
struct ReleaseInstance {
  int rank;
};  // every instance of the gang is ready: its program may begin
struct RecordTrainingStart {
  int64_t at_ms;
};
struct BeginStop {
  StopCause cause;
  std::string reason;  // of kStartTimeout
};  // commit the cause
struct StopInstances {
  std::string reason;
};  // SIGTERM, grace, SIGKILL
struct Decide {
  Outcome outcome;
  int64_t training_ended_ms;
};  // commit the outcome; it never changes
struct BeginRestart {
  std::string reason;
};  // commit that this attempt is over
struct EndAttempt {};        // drain logs, store checkpoints, destroy the instances; then commit the next attempt
struct PublishArtifacts {};  // drain logs, publish model and output
struct FinishJob {};         // commit the final state
struct DestroyInstances {};
}  // namespace action

using Action = std::variant<action::Admit, action::PrepareImage, action::ShowProgress, action::IntendStart,
                            action::StartInstance, action::ReleaseInstance, action::RecordTrainingStart,
                            action::BeginStop, action::StopInstances, action::Decide, action::BeginRestart,
                            action::EndAttempt, action::PublishArtifacts, action::FinishJob, action::DestroyInstances>;

// Pure: the same arguments give the same steps; no step means that there is nothing to do before something changes.
std::vector<Action> Plan(const TrainingJobLimits& limits, const TrainingJobState& state,
                         const TrainingJobActual& actual, int64_t now_ms);

}  // namespace sagebrush::domain
