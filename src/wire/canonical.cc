#include "wire/canonical.h"

#include <algorithm>
#include <chrono>

#include "base/hash.h"
#include "base/text.h"

namespace sagebrush::wire {
namespace {

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

std::string CollapseSpace(std::string_view text) {
  std::string out;
  bool pending = false;
  for (char c : text) {
    if (IsSpace(c)) {
      pending = !out.empty();
      continue;
    }
    if (pending) out += ' ';
    pending = false;
    out += c;
  }
  return out;
}

// RFC 3986 section 5.2.4, and empty segments dropped.
std::string RemoveDotSegments(std::string_view path) {
  std::vector<std::string_view> kept;
  for (std::string_view segment : Split(path, '/')) {
    if (segment.empty() || segment == ".") continue;
    if (segment != "..") {
      kept.push_back(segment);
    } else if (!kept.empty()) {
      kept.pop_back();
    }
  }
  std::string out;
  for (std::string_view segment : kept) out.append("/").append(segment);
  if (out.empty() || path.ends_with('/')) out += '/';
  return out;
}

std::string CanonicalPath(std::string_view path, bool is_s3) {
  if (path.empty()) return "/";
  if (is_s3) return std::string(path);
  return UriEncode(RemoveDotSegments(path), /*keep_slash=*/true);
}

std::string CanonicalQuery(const SignableRequest& request) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const auto& [name, value] : request.query) {
    if (name != "X-Amz-Signature") pairs.emplace_back(UriEncode(name), UriEncode(value));
  }
  std::ranges::sort(pairs);
  std::string out;
  for (const auto& [name, value] : pairs) {
    if (!out.empty()) out += '&';
    out.append(name).append("=").append(value);
  }
  return out;
}

// Half of a signature's work is a key that holds for a day: callers come again, and each thread keeps the last one.
const std::string& SigningKey(std::string_view secret, const CredentialScope& scope) {
  struct Kept {
    std::string secret, date, region, service, key;
  };
  thread_local Kept kept;
  if (!kept.key.empty() && kept.secret == secret && kept.date == scope.date && kept.region == scope.region &&
      kept.service == scope.service) {
    return kept.key;
  }
  std::string key = HmacSha256("AWS4" + std::string(secret), scope.date);
  key = HmacSha256(key, scope.region);
  key = HmacSha256(key, scope.service);
  key = HmacSha256(key, "aws4_request");
  kept = {std::string(secret), scope.date, scope.region, scope.service, std::move(key)};
  return kept.key;
}

}  // namespace

const std::string* FindHeader(const SignableRequest& request, std::string_view name) {
  for (const auto& [key, value] : request.headers) {
    if (EqualsIgnoreCase(key, name)) return &value;
  }
  return nullptr;
}

const std::string* FindQuery(const SignableRequest& request, std::string_view name) {
  for (const auto& [key, value] : request.query) {
    if (key == name) return &value;
  }
  return nullptr;
}

bool IsAmzHeader(std::string_view name) { return EqualsIgnoreCase(name.substr(0, 6), "x-amz-"); }

std::string CanonicalHeaderValue(const SignableRequest& request, std::string_view lower_name) {
  std::string out;
  bool first = true;
  for (const auto& [name, value] : request.headers) {
    if (!EqualsIgnoreCase(name, lower_name)) continue;
    if (!std::exchange(first, false)) out += ',';
    out += CollapseSpace(value);
  }
  return out;
}

std::string CanonicalRequest(const SignableRequest& request, const std::vector<std::string>& signed_headers,
                             std::string_view payload_hash, bool is_s3) {
  std::string names;
  std::string headers;
  for (const std::string& name : signed_headers) {
    if (!names.empty()) names += ';';
    names += name;
    headers.append(name).append(":").append(CanonicalHeaderValue(request, name)).append("\n");
  }
  std::string out = request.method;
  out.append("\n").append(CanonicalPath(request.path, is_s3));
  out.append("\n").append(CanonicalQuery(request));
  out.append("\n").append(headers);
  out.append("\n").append(names);
  out.append("\n").append(payload_hash);
  return out;
}

std::string CredentialScope::Text() const { return date + "/" + region + "/" + service + "/aws4_request"; }

std::string SignatureV4(std::string_view canonical_request, std::string_view secret, std::string_view timestamp,
                        const CredentialScope& scope) {
  const std::string& key = SigningKey(secret, scope);
  std::string text = "AWS4-HMAC-SHA256\n";
  text.append(timestamp).append("\n").append(scope.Text()).append("\n").append(HexEncode(Sha256(canonical_request)));
  return HexEncode(HmacSha256(key, text));
}

std::optional<int64_t> ParseIso8601Basic(std::string_view text) {
  if (text.size() != 16 || text[8] != 'T' || text[15] != 'Z') return std::nullopt;
  auto number = [&](size_t at, size_t count) { return ParseInt(text.substr(at, count)); };
  auto year = number(0, 4), month = number(4, 2), day = number(6, 2);
  auto hour = number(9, 2), minute = number(11, 2), second = number(13, 2);
  if (!year || !month || !day || !hour || !minute || !second) return std::nullopt;
  if (*hour > 23 || *minute > 59 || *second > 59) return std::nullopt;
  std::chrono::year_month_day date{std::chrono::year(static_cast<int>(*year)),
                                   std::chrono::month(static_cast<unsigned>(*month)),
                                   std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  return (((days * 24 + *hour) * 60 + *minute) * 60 + *second) * 1000;
}

}  // namespace sagebrush::wire
