#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sagebrush {

// Milliseconds since the Unix epoch. The one place that reads the wall clock outside Clock implementations.
int64_t WallClockMs();
// Milliseconds of a clock that never goes back; only differences mean anything.
int64_t MonotonicMs();

// Time as an argument: code that decides by time takes a Clock so that a test can replay it.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual int64_t NowMs() const = 0;  // wall clock, milliseconds since the epoch
};

class SystemClock final : public Clock {
 public:
  int64_t NowMs() const override { return WallClockMs(); }
};

// Stands still until a test moves it. Thread-safe.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(int64_t now_ms) : now_ms_(now_ms) {}
  int64_t NowMs() const override { return now_ms_; }
  void Advance(int64_t ms) { now_ms_ += ms; }

 private:
  std::atomic<int64_t> now_ms_;
};

std::string FormatIso8601(int64_t epoch_ms);  // 2026-01-31T12:34:56.789Z
// 2026-01-31T12:34:56Z, with any number of digits after the second; nullopt for any other form.
std::optional<int64_t> ParseIso8601(std::string_view text);
std::string FormatIso8601Basic(int64_t epoch_ms);  // 20260131T123456Z, as in SigV4
std::string FormatHttpDate(int64_t epoch_ms);      // Sat, 31 Jan 2026 12:34:56 GMT

}  // namespace sagebrush
