#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "client/log_follower.h"
#include "client/training_jobs.h"
#include "client/transport.h"

namespace sagebrush::client {

// What a follower tells its user; each is called on the thread of Run. All must be set.
struct FollowEvents {
  std::function<void(const LogLine&)> line;
  std::function<void(const StatusChange&)> status;  // new, or the last one with another message
  std::function<void(const TrainingJob&)> tick;     // after each look, for a progress display
  std::function<void(const Error&)> lost;           // once per outage
  std::function<void()> found;                      // the engine answers again
};

// Follows a training job to its end: lines within about 100 ms of the engine having them, status changes in order.
//
//   1 live ──Describe says terminal──▶ 2 final read ──log read to its end──▶ done
//   1,2 ──no reply──▶ 3 lost ──reply──▶ where it was      3 ──kGiveUpMs──▶ kUnavailable
//   any ──Waiter says end──▶ kCancelled
//
// The engine publishes a terminal status only after the last line is stored, so one read after it is complete.
class JobFollower {
 public:
  static constexpr int64_t kGiveUpMs = 10 * 60 * 1000;

  JobFollower(Transport& transport, Waiter& waiter, FollowEvents events, LogSelection selection);

  // Starts from a description just read. Returns the job in its terminal status.
  Result<TrainingJob> Run(TrainingJob job);

 private:
  Result<bool> Step(TrainingJob& job, LogFollower& log);  // true at the end
  void ReportTransitions(const TrainingJob& job);
  int64_t NextPause(const TrainingJob& job) const;
  Result<void> HandleLoss(const Error& error);

  Transport& transport_;
  Waiter& waiter_;
  FollowEvents events_;
  LogSelection selection_;
  size_t transitions_seen_ = 0;
  std::string last_message_;
  int64_t last_line_ms_ = 0;  // monotonic
  int64_t lost_since_ms_ = -1;
};

}  // namespace sagebrush::client
