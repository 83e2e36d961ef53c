#include "serving/core/serving_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

namespace sagebrush::serving {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using Boundaries = Histogram::BucketBoundaries;

// From `first`, each `growth` times the one before.
Boundaries Exponential(double first, double growth, int count) {
  Boundaries boundaries;
  for (double bound = first; count > 0; --count, bound *= growth) boundaries.push_back(bound);
  return boundaries;
}

double Micros(ServingMetrics::Duration duration) { return std::chrono::duration<double, std::micro>(duration).count(); }

}  // namespace

struct ServingMetrics::Families {
  prometheus::Registry registry;
  Family<Counter>& requests = prometheus::BuildCounter()
                                  .Name(":tensorflow:serving:request_count")
                                  .Help("Requests by outcome")
                                  .Register(registry);
  Family<Histogram>& request_latency = prometheus::BuildHistogram()
                                           .Name(":tensorflow:serving:request_latency")
                                           .Help("From a request's tensors to its outputs, in microseconds")
                                           .Register(registry);
  Family<Histogram>& runtime_latency = prometheus::BuildHistogram()
                                           .Name(":tensorflow:serving:runtime_latency")
                                           .Help("One run of the model, in microseconds")
                                           .Register(registry);
  Family<Histogram>& batch_size = prometheus::BuildHistogram()
                                      .Name(":tensorflow:serving:batching_session:processed_batch_size")
                                      .Help("Rows of a computed batch")
                                      .Register(registry);
  Family<Histogram>& load_latency = prometheus::BuildHistogram()
                                        .Name(":tensorflow:serving:load_latency")
                                        .Help("Loading and warming up a version, in microseconds")
                                        .Register(registry);
  Family<Counter>& load_attempts = prometheus::BuildCounter()
                                       .Name(":tensorflow:serving:load_attempt_count")
                                       .Help("Loads by outcome")
                                       .Register(registry);
  Family<Gauge>& model_memory = prometheus::BuildGauge()
                                    .Name("sagebrush:serving:model_memory_bytes")
                                    .Help("What the process grew by when the version was loaded")
                                    .Register(registry);
  Boundaries latency_bounds = Exponential(10, 1.8, 33);
  Boundaries batch_bounds = Exponential(1, 2, 13);
};

ServingMetrics::ServingMetrics() : families_(std::make_unique<Families>()) {}
ServingMetrics::~ServingMetrics() = default;

struct ServingMetrics::Model::Measures {
  Families& families;
  const std::string model;
  Counter& ok;
  Histogram &request_latency, &runtime_latency, &batch_size;
};

ServingMetrics::Model ServingMetrics::ForModel(const std::string& model, std::string_view backend) {
  Families& families = *families_;
  prometheus::Labels labels{{"model_name", model}};
  prometheus::Labels runtime{{"model_name", model}, {"runtime", std::string(backend)}};
  return Model(std::make_shared<Model::Measures>(
      Model::Measures{families, model, families.requests.Add({{"model_name", model}, {"status", "OK"}}),
                      families.request_latency.Add(labels, families.latency_bounds),
                      families.runtime_latency.Add(runtime, families.latency_bounds),
                      families.batch_size.Add(labels, families.batch_bounds)}));
}

void ServingMetrics::Model::ObserveRequest(CanonicalCode code, Duration latency) {
  if (code == CanonicalCode::kOk) {
    measures_->ok.Increment();
  } else {
    measures_->families.requests.Add({{"model_name", measures_->model}, {"status", std::string(CodeName(code))}})
        .Increment();
  }
  measures_->request_latency.Observe(Micros(latency));
}

void ServingMetrics::Model::ObserveRun(Duration latency) { measures_->runtime_latency.Observe(Micros(latency)); }

void ServingMetrics::Model::ObserveBatch(size_t rows) { measures_->batch_size.Observe(static_cast<double>(rows)); }

void ServingMetrics::ObserveLoad(const std::string& model, bool loaded, Duration latency) {
  families_->load_attempts.Add({{"model_name", model}, {"status", loaded ? "success" : "fail"}}).Increment();
  families_->load_latency.Add({{"model_name", model}}, families_->latency_bounds).Observe(Micros(latency));
}

void ServingMetrics::SetModelMemory(const std::string& model, int64_t version, int64_t bytes) {
  families_->model_memory.Add({{"model_name", model}, {"version", std::to_string(version)}})
      .Set(static_cast<double>(bytes));
}

std::string ServingMetrics::Text() const {
  return prometheus::TextSerializer().Serialize(families_->registry.Collect());
}

}  // namespace sagebrush::serving
