#include "control/log_pump.h"

#include "base/log.h"

namespace sagebrush::control {
namespace {

constexpr size_t kChunkBytes = 1 << 20;
// A program may print faster than its lines can be stored: others get their turn, and Stop its answer, in between.
constexpr size_t kChunksATurn = 4;
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
                    Result<bool> more = Advance(InstanceId(key));
                    if (!more) {
                      Log(LogLevel::kWarning, "log_pump_failed", {{"instance", key}, {"error", more.error().message}});
                    } else if (*more) {
                      queue_.Add(key);
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
  while (true) {
    TRY(bool more, Advance(id));
    if (!more) return {};
    if (queue_.stopping()) return Fail(Error(ErrorKind::kCancelled, "the engine is stopping"));
  }
}

Result<bool> LogPump::Advance(const InstanceId& id) {
  Target target;
  std::shared_ptr<std::mutex> pump_mutex;
  {
    std::lock_guard lock(mutex_);
    auto found = streams_.find(id.value());
    if (found == streams_.end()) return false;  // not ours, or done with
    target = found->second;
    pump_mutex = pump_mutexes_.at(id.value());
  }
  std::lock_guard pumping(*pump_mutex);
  TRY(Pumped pumped, Pump(id, target));
  if (follower_) TRYV(follower_(id, pumped.recorded));
  std::lock_guard lock(mutex_);
  auto found = streams_.find(id.value());
  if (found != streams_.end()) found->second.recorded = pumped.recorded;
  return pumped.more;
}

std::vector<std::string> LogPump::LastLines(const InstanceId& id, size_t count) {
  logstore::GetRequest last{.limit = count};
  {
    std::lock_guard lock(mutex_);
    auto found = streams_.find(id.value());
    if (found == streams_.end()) return {};
    last.group = found->second.group;
    last.stream = found->second.stream;
  }
  Result<logstore::Page> page = logs_.Get(last);
  std::vector<std::string> lines;
  if (!page) return lines;  // it has printed nothing yet
  for (logstore::LogEvent& event : page->events) lines.push_back(std::move(event.message));
  return lines;
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

Result<LogPump::Pumped> LogPump::Pump(const InstanceId& id, const Target& target) {
  uint64_t recorded = target.recorded.value_or(0);
  if (!target.recorded) {
    TRY(recorded, logs_.IngestedOffset(target.group, target.stream));
  }
  for (size_t chunks = 0; chunks < kChunksATurn; ++chunks) {
    uint64_t offset = recorded > target.base ? recorded - target.base : 0;
    Result<driver::LogChunk> chunk = driver_.ReadLog(id, offset, kChunkBytes);
    if (!chunk) {
      // Destroyed meanwhile, or not started yet.
      if (chunk.error().kind == ErrorKind::kNotFound) return Pumped{recorded, false};
      return Fail(std::move(chunk).error());
    }
    if (chunk->next_offset == offset) return Pumped{recorded, false};
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
  return Pumped{recorded, true};
}

}  // namespace sagebrush::control
