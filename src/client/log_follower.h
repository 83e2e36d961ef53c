#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "client/training_jobs.h"
#include "client/transport.h"

namespace sagebrush::client {

struct LogLine {
  std::string host;  // algo-1
  int64_t timestamp_ms = 0;
  std::string text;  // without its line end
};

struct LogSelection {
  std::optional<int64_t> since_ms;  // inclusive
  std::string host;                 // "" for all
};

// Reads the output of all hosts of a training job. Each Poll goes on where the last one ended, also after an error
// and after an engine restart: a stream's place is its forward token, taken only when its page has been delivered to
// the buffer, so no line is lost or shown twice.
class LogFollower {
 public:
  using Sink = std::function<void(const LogLine&)>;

  // `hosts`: streams to expect; once all are known the engine is not asked for the list again.
  LogFollower(Transport& transport, std::string job, int64_t hosts, LogSelection selection);

  // Passes to `sink` every line that is there by now, merged in time order (hosts in order where times are equal).
  // Memory: one page per host. A job that has not printed yet has no lines; that is no error.
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
  std::string job_;
  int64_t hosts_;
  LogSelection selection_;
  std::vector<Stream> streams_;  // by host number
};

// "algo-2" of the stream name "<job>/algo-2-<epoch>".
std::string HostOfStream(std::string_view stream);

}  // namespace sagebrush::client
