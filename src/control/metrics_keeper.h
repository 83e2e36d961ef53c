#pragma once

#include "control/instance_metrics.h"
#include "control/work_queue.h"
#include "metricstore/recorder.h"

namespace sagebrush::control {

// Does what metrics need done again and again: each second it writes down what the recorder gathered and looks at what
// instances use, each minute it lets the store put old values together. Threads: its own work queue.
class MetricsKeeper {
 public:
  MetricsKeeper(metricstore::Recorder& recorder, InstanceMetrics& instances, metricstore::MetricStore& store);

  void Start() { queue_.Start(); }
  // Ends after a last writing down.
  void Stop();

 private:
  void Do(const std::string& duty);
  std::vector<std::string> Due();

  metricstore::Recorder& recorder_;
  InstanceMetrics& instances_;
  metricstore::MetricStore& store_;
  int64_t swept_ms_ = 0;  // monotonic, when last due; of the queue's timer thread alone
  WorkQueue queue_;
};

}  // namespace sagebrush::control
