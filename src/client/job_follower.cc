#include "client/job_follower.h"

#include <algorithm>
#include <utility>

namespace sagebrush::client {
namespace {

constexpr int64_t kQuickPauseMs = 100;    // lines are coming, or may any moment
constexpr int64_t kIdlePauseMs = 200;     // silent for a while
constexpr int64_t kWaitingPauseMs = 500;  // the job waits for room
constexpr int64_t kLostPauseMs = 250;
constexpr int64_t kSilenceMs = 3000;

bool IsOutage(const Error& error) {
  return error.kind == ErrorKind::kUnavailable || error.kind == ErrorKind::kDeadlineExceeded;
}

}  // namespace

JobFollower::JobFollower(Transport& transport, Waiter& waiter, FollowEvents events, LogSelection selection)
    : transport_(transport), waiter_(waiter), events_(std::move(events)), selection_(std::move(selection)) {}

void JobFollower::ReportTransitions(const TrainingJob& job) {
  if (transitions_seen_ > 0 && transitions_seen_ <= job.transitions.size()) {
    const StatusChange& last = job.transitions[transitions_seen_ - 1];
    if (last.message != last_message_) {
      last_message_ = last.message;
      events_.status(last);
    }
  }
  for (; transitions_seen_ < job.transitions.size(); ++transitions_seen_) {
    last_message_ = job.transitions[transitions_seen_].message;
    events_.status(job.transitions[transitions_seen_]);
  }
}

int64_t JobFollower::NextPause(const TrainingJob& job) const {
  if (lost_since_ms_ >= 0) return kLostPauseMs;
  if (job.secondary_status == "Pending") return kWaitingPauseMs;
  return waiter_.MonotonicMs() - last_line_ms_ < kSilenceMs ? kQuickPauseMs : kIdlePauseMs;
}

Result<bool> JobFollower::Step(TrainingJob& job, LogFollower& log) {
  if (!job.terminal()) {
    TRY(job, DescribeTrainingJob(transport_, job.name));
  }
  bool terminal = job.terminal();
  // Statuses that precede the lines come first; the last ones follow the last line.
  if (!terminal) ReportTransitions(job);
  TRYV(log.Poll([this](const LogLine& line) {
    last_line_ms_ = waiter_.MonotonicMs();
    events_.line(line);
  }));
  if (terminal) ReportTransitions(job);
  return terminal;
}

Result<void> JobFollower::HandleLoss(const Error& error) {
  int64_t now = waiter_.MonotonicMs();
  if (lost_since_ms_ < 0) {
    lost_since_ms_ = now;
    events_.lost(error);
  }
  if (now - lost_since_ms_ < kGiveUpMs) return {};
  return Fail(Error(error).Because("The engine has not answered for ten minutes"));
}

Result<TrainingJob> JobFollower::Run(TrainingJob job) {
  LogFollower log(transport_, TrainingJobLog(job.name), std::max<int64_t>(job.instance_count, 1), selection_);
  last_line_ms_ = waiter_.MonotonicMs();
  if (!job.terminal()) ReportTransitions(job);
  while (true) {
    Result<bool> ended = Step(job, log);
    if (ended) {
      if (std::exchange(lost_since_ms_, -1) >= 0) events_.found();
      if (*ended) return job;
      events_.tick(job);
    } else if (IsOutage(ended.error())) {
      TRYV(HandleLoss(ended.error()));
    } else {
      return Fail(ended.error());
    }
    if (!waiter_.Wait(NextPause(job))) return Fail(Error(ErrorKind::kCancelled, "Ended by the user."));
  }
}

}  // namespace sagebrush::client
