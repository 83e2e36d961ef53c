#include "control/instance_metrics.h"

#include "base/log.h"

namespace sagebrush::control {

void InstanceMetrics::Watch(const InstanceId& id, MeasuredInstance instance, bool fresh) {
  std::lock_guard lock(mutex_);
  seen_.try_emplace(id, Seen{.instance = std::move(instance), .since_ms = fresh ? MonotonicMs() : 0});
}

void InstanceMetrics::Forget(const InstanceId& id) {
  std::lock_guard lock(mutex_);
  seen_.erase(id);
}

Result<void> InstanceMetrics::Sample() {
  std::vector<InstanceId> ids;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [id, seen] : seen_) {
      if (seen.looked_ms == 0 || MonotonicMs() - seen.looked_ms >= kPeriodMs) ids.push_back(id);
    }
  }
  std::vector<metricstore::Datum> data;
  for (const InstanceId& id : ids) {
    Result<driver::InstanceUsage> usage = driver_.Usage(id);
    if (!usage) {
      // Not started yet, or over: nothing to tell.
      if (usage.error().kind != ErrorKind::kNotFound) {
        Log(LogLevel::kWarning, "usage_unknown", {{"instance", id.value()}, {"error", usage.error().message}});
      }
      continue;
    }
    int64_t now_ms = MonotonicMs(), time_ms = clock_.NowMs();
    std::lock_guard lock(mutex_);
    auto found = seen_.find(id);
    if (found == seen_.end()) continue;  // forgotten meanwhile
    Seen& seen = found->second;
    auto tell = [&](const char* name, double percent) {
      metricstore::Datum& datum = data.emplace_back();
      datum.metric = {seen.instance.space, name, seen.instance.dimensions};
      datum.unit = "Percent";
      datum.timestamp_ms = time_ms;
      datum.high_resolution = true;
      datum.values.Add(percent);
    };
    // Less than before: another program of that id.
    if (seen.since_ms != 0 && now_ms > seen.since_ms && usage->cpu_ns >= seen.cpu_ns) {
      double busy_ms = static_cast<double>(usage->cpu_ns - seen.cpu_ns) / 1e6;
      tell("CPUUtilization", 100 * busy_ms / static_cast<double>(now_ms - seen.since_ms));
    }
    seen.looked_ms = seen.since_ms = now_ms;
    seen.cpu_ns = usage->cpu_ns;
    auto share = [](int64_t part, int64_t whole) {
      return 100 * static_cast<double>(part) / static_cast<double>(whole);
    };
    if (seen.instance.memory_bytes > 0) {
      tell("MemoryUtilization", share(usage->memory_bytes, seen.instance.memory_bytes));
    }
    if (seen.instance.disk_bytes > 0) tell("DiskUtilization", share(usage->disk_bytes, seen.instance.disk_bytes));
  }
  if (data.empty()) return {};
  return store_.Put(std::move(data));
}

}  // namespace sagebrush::control
