#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "serving/core/status.h"

namespace sagebrush::serving {

// What Prometheus sees, by TensorFlow Serving's names where it has one (:tensorflow:serving:request_count and so on;
// times in microseconds). Labels are model names, codes and backends, so their number is bounded by the models served.
// Thread-safe.
class ServingMetrics {
 public:
  ServingMetrics();
  ~ServingMetrics();
  ServingMetrics(const ServingMetrics&) = delete;

  using Duration = std::chrono::steady_clock::duration;

  // The measures of one model, found once: observing costs no look-up. Outlived by its ServingMetrics.
  class Model {
   public:
    void ObserveRequest(CanonicalCode code, Duration latency);
    void ObserveRun(Duration latency);
    void ObserveBatch(size_t rows);

   private:
    friend class ServingMetrics;
    struct Measures;
    explicit Model(std::shared_ptr<Measures> measures) : measures_(std::move(measures)) {}
    std::shared_ptr<Measures> measures_;
  };
  // `backend` computes for it.
  Model ForModel(const std::string& model, std::string_view backend);

  void ObserveLoad(const std::string& model, bool loaded, Duration latency);
  // What the process grew by while the version was loaded and warmed up; 0 after it is gone.
  void SetModelMemory(const std::string& model, int64_t version, int64_t bytes);

  // The text exposition format.
  std::string Text() const;

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace sagebrush::serving
