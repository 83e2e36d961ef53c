#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "client/logs.h"
#include "client/transport.h"

namespace sagebrush::client {

struct LogLine {
  std::string host;  // algo-1, i-0a1b…
  int64_t timestamp_ms = 0;
  std::string text;  // without its line end
};

struct LogSelection {
  std::optional<int64_t> since_ms;  // inclusive
  std::string host;                 // "" for all
};

// Reads the output of all hosts of a training job, or of all instances of an endpoint. Each Poll goes on where the last
// one ended, also after an error and after an engine restart: a stream's place is its forward token, taken only when
// its page has been delivered to the buffer, so no line is lost or shown twice.
class LogFollower {
 public:
  using Sink = std::function<void(const LogLine&)>;

  // `hosts`: streams to expect; once all are known the engine is not asked for the list again. Without a number it is
  // asked at each Poll.
  LogFollower(Transport& transport, LogSource source, std::optional<int64_t> hosts, LogSelection selection);

  // Passes to `sink` every line that is there by now, merged in time order (hosts in order where times are equal).
  // Memory: one page per host. What has not printed yet has no lines; that is no error.
  Result<void> Poll(const Sink& sink);

 private:
  struct Stream {
    std::string name, host, token;
    std::deque<LogEvent> buffer;
    bool drained = false;  // within one Poll
  };

  Result<void> DiscoverStreams();
  Result<void> FillBuffers();
  Stream* Earliest();

  Transport& transport_;
  LogSource source_;
  std::optional<int64_t> hosts_;
  LogSelection selection_;
  std::vector<Stream> streams_;  // by host number
};

// "algo-2" of the stream name "<job>/algo-2-<epoch>", "i-0a1b" of "<variant>/i-0a1b".
std::string HostOfStream(std::string_view stream);

}  // namespace sagebrush::client
