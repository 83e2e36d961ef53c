#include "control/endpoint_metrics.h"

namespace sagebrush::control {
namespace {

constexpr int kNoAnswer = 500;  // what an invocation counts as that its container did not answer

int64_t Micros(std::chrono::nanoseconds time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time).count();
}

}  // namespace

void EndpointMetrics::Invoked(const routing::InvocationRecord& record) {
  std::shared_ptr<metricstore::EndpointMeter> meter;
  {
    std::lock_guard lock(mutex_);
    std::shared_ptr<metricstore::EndpointMeter>& known = meters_[{record.endpoint, record.variant}];
    if (known == nullptr) {
      known = std::make_shared<metricstore::EndpointMeter>(recorder_, record.endpoint, record.variant);
    }
    meter = known;
  }
  bool asked = record.model_latency.count() > 0;
  meter->Invoked({.status = record.status == 0 ? kNoAnswer : record.status,
                  .model_failed = record.status < 200 || record.status > 299,
                  .model_us = asked ? Micros(record.model_latency) : -1,
                  .overhead_us = Micros(record.overhead),
                  .instances = record.instances});
}

void EndpointMetrics::WatchInstance(const InstanceId& id, const std::string& endpoint, const std::string& variant,
                                    int64_t memory_bytes, bool fresh) {
  instances_.Watch(id,
                   {.space = "/aws/sagemaker/Endpoints",
                    .dimensions = metricstore::VariantDimensions(endpoint, variant),
                    .memory_bytes = memory_bytes},
                   fresh);
}

void EndpointMetrics::ForgetEndpoint(const std::string& endpoint) {
  std::lock_guard lock(mutex_);
  std::erase_if(meters_, [&endpoint](const auto& entry) { return entry.first.first == endpoint; });
}

}  // namespace sagebrush::control
