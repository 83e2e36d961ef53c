#include "metricstore/recorder.h"

#include <algorithm>
#include <atomic>

namespace sagebrush::metricstore {
namespace {

// A store that cannot be written to (full disk) must not fill the memory: the oldest values go first.
constexpr size_t kMostUnwritten = 10'000;

size_t ShardOfThisThread(size_t shards) {
  static std::atomic<size_t> next = 0;
  thread_local size_t mine = next.fetch_add(1, std::memory_order_relaxed);
  return mine % shards;
}

}  // namespace

void Meter::Record(double value, double count) {
  Shard& shard = shards_[ShardOfThisThread(kShards)];
  std::lock_guard lock(shard.mutex);
  shard.values.Add(value, count);
}

Distribution Meter::Take() {
  Distribution all;
  for (Shard& shard : shards_) {
    Distribution taken;
    {
      std::lock_guard lock(shard.mutex);
      std::swap(taken, shard.values);
    }
    all.Merge(taken);
  }
  return all;
}

std::shared_ptr<Meter> Recorder::Open(Metric metric, std::string unit) {
  std::ranges::sort(metric.dimensions);
  std::lock_guard lock(mutex_);
  std::shared_ptr<Meter>& meter = meters_[{std::move(metric), std::move(unit)}];
  if (meter == nullptr) meter = std::make_shared<Meter>();
  return meter;
}

Result<void> Recorder::Flush() {
  std::lock_guard flushing(flushing_);
  int64_t since_ms = std::exchange(since_ms_, clock_.NowMs());
  {
    std::lock_guard lock(mutex_);
    for (auto meter = meters_.begin(); meter != meters_.end();) {
      // Only this map holds it, and Open waits for mutex_: nobody records any more.
      bool released = meter->second.use_count() == 1;
      Distribution values = meter->second->Take();
      if (!values.empty()) {
        unwritten_.push_back({meter->first.first, meter->first.second, since_ms, false, std::move(values)});
      }
      meter = released ? meters_.erase(meter) : std::next(meter);
    }
  }
  if (unwritten_.empty()) return {};
  if (unwritten_.size() > kMostUnwritten) {
    auto surplus = static_cast<std::ptrdiff_t>(unwritten_.size() - kMostUnwritten);
    unwritten_.erase(unwritten_.begin(), unwritten_.begin() + surplus);
  }
  TRYV(store_.Put(unwritten_));
  unwritten_.clear();
  return {};
}

}  // namespace sagebrush::metricstore
