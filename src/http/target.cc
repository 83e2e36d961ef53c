#include "http/target.h"

#include <algorithm>

#include "base/text.h"

namespace sagebrush::http {

std::optional<HostPort> ParseAuthority(std::string_view text, uint16_t default_port) {
  HostPort parsed{.port = default_port};
  std::string_view host, port;
  if (text.starts_with('[')) {
    size_t end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    host = text.substr(1, end - 1);
    std::string_view rest = text.substr(end + 1);
    if (!rest.empty() && !rest.starts_with(':')) return std::nullopt;
    port = rest.empty() ? rest : rest.substr(1);
    bool valid =
        std::ranges::all_of(host, [](unsigned char c) { return std::isxdigit(c) != 0 || c == ':' || c == '.'; });
    if (!valid) return std::nullopt;
  } else {
    size_t colon = text.find(':');
    host = text.substr(0, colon);
    if (colon != std::string_view::npos) port = text.substr(colon + 1);
    bool valid = std::ranges::all_of(
        host, [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '.' || c == '_'; });
    if (!valid) return std::nullopt;
  }
  if (host.empty() || host.size() > 253) return std::nullopt;
  parsed.host = ToLower(host);
  if (!port.empty()) {
    std::optional<int64_t> number = ParseInt(port);
    if (!number || *number < 1 || *number > 65535) return std::nullopt;
    parsed.port = static_cast<uint16_t>(*number);
  } else if (default_port == 0) {
    return std::nullopt;
  }
  return parsed;
}

Result<Target> ParseTarget(std::string_view raw) {
  Target parsed;
  if (ToLower(raw.substr(0, 7)) == "http://") {
    std::string_view rest = raw.substr(7);
    size_t end = rest.find_first_of("/?");
    parsed.authority = ParseAuthority(rest.substr(0, end), 80);
    if (!parsed.authority) return Fail(InvalidArgument("The host in the request's target is not valid."));
    parsed.target = end == std::string_view::npos ? "/" : std::string(rest.substr(end));
    if (parsed.target.starts_with('?')) parsed.target.insert(0, "/");
  } else if (raw.starts_with('/') || raw == "*") {
    parsed.target = std::string(raw);
  } else {
    return Fail(InvalidArgument("The request's target is neither a path nor an http:// address."));
  }
  if (parsed.target.contains('#')) return Fail(InvalidArgument("A request's target has no '#' fragment."));
  size_t mark = parsed.target.find('?');
  parsed.path = parsed.target.substr(0, mark);
  if (!UriDecode(parsed.path)) return Fail(InvalidArgument("The path has a broken percent-escape."));
  if (mark == std::string::npos) return parsed;
  for (std::string_view part : Split(std::string_view(parsed.target).substr(mark + 1), '&')) {
    if (part.empty()) continue;
    size_t equals = part.find('=');
    auto key = UriDecode(part.substr(0, equals), true);
    auto value = equals == std::string_view::npos ? std::string() : UriDecode(part.substr(equals + 1), true);
    if (!key || !value) return Fail(InvalidArgument("The query has a broken percent-escape."));
    parsed.query.emplace_back(*std::move(key), *std::move(value));
  }
  return parsed;
}

}  // namespace sagebrush::http
