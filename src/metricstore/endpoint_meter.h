#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "metricstore/recorder.h"

namespace sagebrush::metricstore {

// How one InvokeEndpoint came out.
struct Invocation {
  int status = 200;           // what the caller got
  bool model_failed = false;  // the model answered with no 2xx, or not at all
  int64_t model_us = -1;      // from the request to the model until its answer; -1: it was not asked
  int64_t overhead_us = 0;    // from the caller's request until the reply to it, without model_us
  int instances = 1;          // of the variant, at that time
};

// The metrics of one production variant, named and valued as the hosted service does: namespace AWS/SageMaker,
// dimensions EndpointName and VariantName. Each invocation sends 0 or 1 to every error metric, so that their average is
// a rate and their sum a number; latencies are microseconds, and of requests that reached a model. Holds meters of the
// recorder, which must outlive it. Thread-safe; Invoked never blocks on a disk.
class EndpointMeter {
 public:
  EndpointMeter(Recorder& recorder, const std::string& endpoint, const std::string& variant);
  void Invoked(const Invocation& invocation);

 private:
  std::shared_ptr<Meter> invocations_, per_instance_, errors_4xx_, errors_5xx_, model_errors_, model_latency_,
      overhead_latency_;
};

// Dimensions EndpointName and VariantName.
std::vector<Dimension> VariantDimensions(const std::string& endpoint, const std::string& variant);

}  // namespace sagebrush::metricstore
