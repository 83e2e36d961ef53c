#include "metricstore/endpoint_meter.h"

#include <algorithm>

namespace sagebrush::metricstore {

std::vector<Dimension> VariantDimensions(const std::string& endpoint, const std::string& variant) {
  return {{"EndpointName", endpoint}, {"VariantName", variant}};
}

EndpointMeter::EndpointMeter(Recorder& recorder, const std::string& endpoint, const std::string& variant) {
  auto open = [&](const char* name, const char* unit) {
    return recorder.Open({"AWS/SageMaker", name, VariantDimensions(endpoint, variant)}, unit);
  };
  invocations_ = open("Invocations", kNoUnit);
  per_instance_ = open("InvocationsPerInstance", kNoUnit);
  errors_4xx_ = open("Invocation4XXErrors", kNoUnit);
  errors_5xx_ = open("Invocation5XXErrors", kNoUnit);
  model_errors_ = open("InvocationModelErrors", kNoUnit);
  model_latency_ = open("ModelLatency", "Microseconds");
  overhead_latency_ = open("OverheadLatency", "Microseconds");
}

void EndpointMeter::Invoked(const Invocation& invocation) {
  invocations_->Record(1);
  per_instance_->Record(1.0 / std::max(invocation.instances, 1));
  errors_4xx_->Record(invocation.status >= 400 && invocation.status < 500 ? 1 : 0);
  errors_5xx_->Record(invocation.status >= 500 ? 1 : 0);
  model_errors_->Record(invocation.model_failed ? 1 : 0);
  if (invocation.model_us < 0) return;
  model_latency_->Record(static_cast<double>(invocation.model_us));
  overhead_latency_->Record(static_cast<double>(invocation.overhead_us));
}

}  // namespace sagebrush::metricstore
