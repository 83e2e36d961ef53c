#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "client/transport.h"

namespace sagebrush::client {

// The streams of one job or endpoint: those of a group whose names begin so.
struct LogSource {
  std::string group;
  std::string stream_prefix;  // "" for all of the group
};

struct LogEvent {
  int64_t timestamp_ms = 0;
  std::string message;
};
struct LogPage {
  std::vector<LogEvent> events;
  std::string forward_token;
};

// Stream names; empty when nothing has been printed yet.
Result<std::vector<std::string>> ListLogStreams(Transport& transport, const LogSource& source);
// The page at `token`, or the first one (of lines at or after `since_ms`) for an empty token. A page without events
// is the end for now; its token is good for later lines.
Result<LogPage> ReadLog(Transport& transport, const std::string& group, std::string_view stream, std::string_view token,
                        std::optional<int64_t> since_ms);

}  // namespace sagebrush::client
