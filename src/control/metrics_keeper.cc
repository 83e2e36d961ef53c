#include "control/metrics_keeper.h"

#include "base/log.h"

namespace sagebrush::control {
namespace {

constexpr int64_t kFlushMs = 1000, kSweepMs = 60'000;
constexpr char kFlush[] = "flush", kSample[] = "sample", kSweep[] = "sweep";

}  // namespace

MetricsKeeper::MetricsKeeper(metricstore::Recorder& recorder, InstanceMetrics& instances,
                             metricstore::MetricStore& store)
    : recorder_(recorder),
      instances_(instances),
      store_(store),
      queue_({.name = "metrics",
              .threads = 2,
              .resync_ms = kFlushMs,
              .work = [this](const std::string& duty) { Do(duty); },
              .resync = [this] { return Due(); }}) {}

void MetricsKeeper::Stop() {
  queue_.Stop();
  Do(kFlush);
}

std::vector<std::string> MetricsKeeper::Due() {
  std::vector<std::string> duties = {kFlush, kSample};
  int64_t now_ms = MonotonicMs();
  if (swept_ms_ == 0 || now_ms - swept_ms_ >= kSweepMs) {
    swept_ms_ = now_ms;
    duties.emplace_back(kSweep);
  }
  return duties;
}

void MetricsKeeper::Do(const std::string& duty) {
  Result<void> done;
  if (duty == kFlush) done = recorder_.Flush();
  if (duty == kSample) done = instances_.Sample();
  if (duty == kSweep) {
    Result<int64_t> swept = store_.Sweep();
    if (!swept) done = Fail(std::move(swept).error());
  }
  if (!done) Log(LogLevel::kWarning, "metrics_not_kept", {{"duty", duty}, {"error", done.error().message}});
}

}  // namespace sagebrush::control
