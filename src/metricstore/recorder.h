#pragma once

#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "metricstore/metric_store.h"

namespace sagebrush::metricstore {

// Gathers the values of one metric between two flushes. Record costs some ten nanoseconds: threads have shards of
// their own, so that they seldom wait for each other, and nothing is written. Thread-safe.
class Meter {
 public:
  // `value` is finite, `count` positive.
  void Record(double value, double count = 1);

 private:
  friend class Recorder;
  static constexpr size_t kShards = 8;
  struct alignas(64) Shard {
    std::mutex mutex;
    Distribution values;  // guarded by mutex
  };
  Distribution Take();

  std::array<Shard, kShards> shards_;
};

// The engine's own metrics: meters in memory, written to the store at each Flush. A crash loses what came since the
// last one; call it about every second (control/metrics_keeper does). Memory is bounded by the meters that are held.
// Thread-safe; Open and Record do not block, Flush does. Outlives its meters' use.
class Recorder {
 public:
  Recorder(MetricStore& store, const Clock& clock) : store_(store), clock_(clock), since_ms_(clock.NowMs()) {}

  // The meter of that metric and unit, one for all who ask. Hold it while there is something to record; released
  // meters are forgotten once they are flushed.
  std::shared_ptr<Meter> Open(Metric metric, std::string unit = kNoUnit);

  // Writes what has been recorded since the last flush, at that time. On an error the values stay for the next one.
  Result<void> Flush();

 private:
  MetricStore& store_;
  const Clock& clock_;
  std::mutex mutex_;
  std::map<std::pair<Metric, std::string>, std::shared_ptr<Meter>> meters_;  // guarded by mutex_
  std::mutex flushing_;                                                      // one flush at a time
  int64_t since_ms_;                                                         // guarded by flushing_
  std::vector<Datum> unwritten_;                                             // guarded by flushing_
};

}  // namespace sagebrush::metricstore
