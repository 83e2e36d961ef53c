#include "control/instance_views.h"

#include <algorithm>

#include "base/clock.h"
#include "base/log.h"
#include "control/instance_spec.h"

namespace sagebrush::control {
namespace {

// A gang's planning costs some µs an instance; looked at no more often, it costs a part of one processor.
constexpr int64_t kInstancesPerMs = 20;
constexpr int64_t kLongestGatherMs = 50;

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
    case From::kReady:
      seen.phase = To::kReady;
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
  seen.program_failed = status.phase == From::kUploading && !status.machine_failed &&
                        (status.exit_code != 0 || status.signal != 0 || !status.failure_reason.empty());
  seen.machine_failed = status.phase == From::kEnded && status.machine_failed;
  seen.ready_ms = status.ready_ms;
  seen.training_started_ms = status.training_started_ms;
  seen.training_ended_ms = status.training_ended_ms;
  seen.ended_ms = status.ended_ms;
  seen.failure_reason = status.failure_reason;
  return seen;
}

}  // namespace

std::vector<domain::ObservedInstance> InstanceViews::Look(const JobName& job, int attempt, int count, bool ran,
                                                          bool whole) {
  View view;
  {
    std::lock_guard lock(mutex_);
    View& known = views_[job];
    if (known.attempt != attempt || known.instances.size() != static_cast<size_t>(count)) {
      known = View{.attempt = attempt, .instances = std::vector<domain::ObservedInstance>(static_cast<size_t>(count))};
    }
    // News that come from here on are for the next look.
    view = known;
    known.news.clear();
    known.look_due = false;
  }
  int64_t now_ms = MonotonicMs();
  whole = whole || view.looked_ms == 0 || now_ms - view.looked_ms >= kFullLookMs;
  for (int rank = 0; rank < count; ++rank) {
    domain::ObservedInstance& seen = view.instances[static_cast<size_t>(rank)];
    bool over = seen.phase >= domain::ObservedInstance::Phase::kEnded;
    if (!over && (whole || view.news.contains(rank))) Inspect(InstanceIdOf(job, attempt, rank), ran, seen);
  }
  std::lock_guard lock(mutex_);
  auto known = views_.find(job);
  if (known == views_.end() || known->second.attempt != attempt) return view.instances;  // forgotten meanwhile
  known->second.instances = view.instances;
  if (whole) known->second.looked_ms = now_ms;
  return view.instances;
}

void InstanceViews::Inspect(const InstanceId& id, bool ran, domain::ObservedInstance& seen) {
  Result<driver::InstanceStatus> status = driver_.Inspect(id);
  if (status) {
    seen = Observed(*status);
  } else if (ran || status.error().kind != ErrorKind::kNotFound) {
    // It ran and is gone, or cannot be told: never start it a second time.
    seen.phase = domain::ObservedInstance::Phase::kLost;
    Log(LogLevel::kError, "instance_unknown", {{"instance", id.value()}, {"error", status.error().message}});
  } else {
    seen = {};  // not started, or its agent died before it recorded anything
  }
}

std::optional<int64_t> InstanceViews::Hint(const JobName& job, int rank) {
  std::lock_guard lock(mutex_);
  auto view = views_.find(job);
  if (view == views_.end()) return 0;
  view->second.news.insert(rank);
  if (view->second.look_due) return std::nullopt;
  int64_t delay_ms = std::min(static_cast<int64_t>(view->second.instances.size()) / kInstancesPerMs, kLongestGatherMs);
  view->second.look_due = delay_ms > 0;
  return delay_ms;
}

void InstanceViews::Changed(const JobName& job, int rank) {
  std::lock_guard lock(mutex_);
  auto view = views_.find(job);
  if (view != views_.end()) view->second.news.insert(rank);
}

void InstanceViews::Forget(const JobName& job) {
  std::lock_guard lock(mutex_);
  views_.erase(job);
}

}  // namespace sagebrush::control
