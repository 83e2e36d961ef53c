#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "control/instance_metrics.h"
#include "metricstore/endpoint_meter.h"
#include "routing/invoker.h"

namespace sagebrush::control {

// The metrics of endpoints: of invocations by variant, and of what instances use. Thread-safe; nothing blocks.
class EndpointMetrics {
 public:
  EndpointMetrics(metricstore::Recorder& recorder, InstanceMetrics& instances)
      : recorder_(recorder), instances_(instances) {}

  void Invoked(const routing::InvocationRecord& record);
  // From now on, until it is forgotten. `fresh`: it has not run yet.
  void WatchInstance(const InstanceId& id, const std::string& endpoint, const std::string& variant,
                     int64_t memory_bytes, bool fresh);
  void ForgetInstance(const InstanceId& id) { instances_.Forget(id); }
  // The endpoint is deleted: its meters go once they are flushed.
  void ForgetEndpoint(const std::string& endpoint);

 private:
  metricstore::Recorder& recorder_;
  InstanceMetrics& instances_;
  std::mutex mutex_;
  // By endpoint and variant; guarded by mutex_.
  std::map<std::pair<std::string, std::string>, std::shared_ptr<metricstore::EndpointMeter>> meters_;
};

}  // namespace sagebrush::control
