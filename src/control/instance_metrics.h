#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "driver/driver.h"
#include "metricstore/metric_store.h"

namespace sagebrush::control {

// What an instance's use is told as, and in relation to what.
struct MeasuredInstance {
  std::string space;  // "/aws/sagemaker/TrainingJobs", "/aws/sagemaker/Endpoints"
  std::vector<metricstore::Dimension> dimensions;
  int64_t memory_bytes = 0;  // that 100 % are; 0: not told
  int64_t disk_bytes = 0;    // likewise
};

// CPUUtilization (100 for each processor kept busy), MemoryUtilization and DiskUtilization of running instances, in per
// cent, as the hosted service has them. Thread-safe; Sample blocks, the others do not.
class InstanceMetrics {
 public:
  InstanceMetrics(driver::Driver& driver, metricstore::MetricStore& store, const Clock& clock)
      : driver_(driver), store_(store), clock_(clock) {}

  // How often an instance is looked at.
  static constexpr int64_t kPeriodMs = 5000;

  // From now on, until it is forgotten. Again for a known instance changes nothing. `fresh`: it has not run yet, so
  // that all its processor time is of the time from now on.
  void Watch(const InstanceId& id, MeasuredInstance instance, bool fresh);
  void Forget(const InstanceId& id);
  // Looks at every instance that it has not looked at for kPeriodMs, and stores what it finds in one commit. Call it
  // more often than that: an instance is seen soon after it started.
  Result<void> Sample();

 private:
  struct Seen {
    MeasuredInstance instance;
    int64_t looked_ms = 0;  // monotonic; 0: not yet
    int64_t since_ms = 0;   // monotonic; since when cpu_ns is told, 0: not yet
    int64_t cpu_ns = 0;     // used before
  };
  driver::Driver& driver_;
  metricstore::MetricStore& store_;
  const Clock& clock_;
  std::mutex mutex_;
  std::map<InstanceId, Seen> seen_;  // guarded by mutex_
};

}  // namespace sagebrush::control
