#include "control/log_pump.h"

#include "base/log.h"

namespace sagebrush::control {
namespace {

constexpr size_t kChunkBytes = 1 << 20;
constexpr int64_t kResyncMs = 1000;  // hints may be lost
constexpr int kAttemptShift = 40;    // a spool stays below a tebibyte

}  // namespace

LogPump::LogPump(driver::Driver& driver, logstore::LogStore& logs)
    : driver_(driver),
      logs_(logs),
      queue_({.name = "log_pump",
              .threads = 2,
              .resync_ms = kResyncMs,
              .work =
                  [this](const std::string& key) {
                    Result<void> drained = Drain(InstanceId(key));
                    if (!drained) {
                      Log(LogLevel::kWarning, "log_pump_failed",
                          {{"instance", key}, {"error", drained.error().message}});
                    }
                  },
              .resync =
                  [this] {
                    std::lock_guard lock(mutex_);
                    std::vector<std::string> keys;
                    for (const auto& [id, target] : streams_) keys.push_back(id);
                    return keys;
                  }}) {}

std::string LogPump::StreamName(const JobName& job, int rank, int64_t job_created_ms) {
  return job.value() + "/algo-" + std::to_string(rank + 1) + "-" + std::to_string(job_created_ms / 1000);
}

void LogPump::Watch(const InstanceId& id, std::string stream, int attempt, std::string group) {
  std::lock_guard lock(mutex_);
  streams_[id.value()] = {std::move(group), std::move(stream), static_cast<uint64_t>(attempt - 1) << kAttemptShift,
                          std::nullopt};
  auto& pump_mutex = pump_mutexes_[id.value()];
  if (pump_mutex == nullptr) pump_mutex = std::make_shared<std::mutex>();
}

void LogPump::Forget(const InstanceId& id) {
  std::lock_guard lock(mutex_);
  streams_.erase(id.value());
  pump_mutexes_.erase(id.value());
}

void LogPump::Wake(const InstanceId& id) { queue_.Add(id.value()); }

Result<void> LogPump::Drain(const InstanceId& id) {
  Target target;
  std::shared_ptr<std::mutex> pump_mutex;
  {
    std::lock_guard lock(mutex_);
    auto found = streams_.find(id.value());
    if (found == streams_.end()) return {};  // not ours, or done with
    target = found->second;
    pump_mutex = pump_mutexes_.at(id.value());
  }
  std::lock_guard pumping(*pump_mutex);
  TRY(uint64_t recorded, Pump(id, target));
  if (follower_) TRYV(follower_(id, recorded));
  std::lock_guard lock(mutex_);
  auto found = streams_.find(id.value());
  if (found != streams_.end()) found->second.recorded = recorded;
  return {};
}

Result<void> LogPump::Say(const std::string& stream, std::vector<std::string> lines, int64_t now_ms,
                          const std::string& group) {
  std::vector<logstore::LogEvent> events;
  for (std::string& line : lines) {
    logstore::LogEvent& event = events.emplace_back();
    event.timestamp_ms = now_ms;
    event.message = std::move(line);
  }
  TRYV(logs_.Ingest(group, stream, 0, 0, std::move(events)));
  return {};
}

Result<uint64_t> LogPump::Pump(const InstanceId& id, const Target& target) {
  uint64_t recorded = target.recorded.value_or(0);
  if (!target.recorded) {
    TRY(recorded, logs_.IngestedOffset(target.group, target.stream));
  }
  while (true) {
    uint64_t offset = recorded > target.base ? recorded - target.base : 0;
    Result<driver::LogChunk> chunk = driver_.ReadLog(id, offset, kChunkBytes);
    if (!chunk) {
      if (chunk.error().kind == ErrorKind::kNotFound) return recorded;  // destroyed meanwhile, or not started yet
      return Fail(std::move(chunk).error());
    }
    if (chunk->next_offset == offset) return recorded;
    std::vector<logstore::LogEvent> events;
    events.reserve(chunk->records.size());
    for (driver::LogRecord& record : chunk->records) {
      logstore::LogEvent event;
      event.timestamp_ms = record.timestamp_ms;
      event.message = std::move(record.line);
      events.push_back(std::move(event));
    }
    TRY(recorded,
        logs_.Ingest(target.group, target.stream, recorded, target.base + chunk->next_offset, std::move(events)));
  }
}

}  // namespace sagebrush::control
