#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace sagebrush::http {

struct HostPort {
  std::string host;  // lower case, without brackets
  uint16_t port = 0;
};

// "host", "host:port", "[v6]" or "[v6]:port"; nullopt for anything else. default_port stands in for a missing port;
// 0 means that one must be there.
std::optional<HostPort> ParseAuthority(std::string_view text, uint16_t default_port);

struct Target {
  std::string target;  // origin form: raw path and query
  std::string path;
  std::vector<std::pair<std::string, std::string>> query;
  std::optional<HostPort> authority;  // of an absolute-form target
};

// A request target in origin, absolute ("http://host/…") or asterisk form. kInvalidArgument says what is wrong.
Result<Target> ParseTarget(std::string_view raw);

}  // namespace sagebrush::http
