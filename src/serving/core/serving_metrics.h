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
  void ObserveRequest(const std::string& model, CanonicalCode code, Duration latency);
  void ObserveRun(const std::string& model, std::string_view backend, Duration latency);
  void ObserveBatch(const std::string& model, size_t rows);
  void ObserveLoad(const std::string& model, bool loaded, Duration latency);
  // What the process grew by while the version was loaded and warmed up; 0 after it is gone.
  void SetModelMemory(const std::string& model, int64_t version, int64_t bytes);

  // The text exposition format, with the process's own memory.
  std::string Text() const;

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace sagebrush::serving
