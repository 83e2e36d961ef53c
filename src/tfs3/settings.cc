#include "tfs3/settings.h"

#include <cstdlib>

#include "base/text.h"

namespace sagebrush::tfs3 {
namespace {

constexpr const char* kEndpoints[] = {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "S3_ENDPOINT_URL", "S3_ENDPOINT"};
constexpr const char* kAuthorities[] = {"S3_CA_FILE", "AWS_CA_BUNDLE"};
constexpr const char* kRegions[] = {"AWS_REGION", "AWS_DEFAULT_REGION", "S3_REGION"};

Error Malformed(const std::string& name, const std::string& value) {
  return Error(ErrorKind::kFailedPrecondition,
               name + "=" + value + " is no address of the form http(s)://host:port, so s3:// can't be reached.");
}

uint16_t DefaultPort(bool tls) { return tls ? 443 : 80; }

// What scripts write for "no".
bool IsOff(const std::string& value) { return value == "0" || ToLower(value) == "false"; }

// "host:port", "[v6]:port" or "host".
Result<void> SetAuthority(std::string_view authority, const std::string& name, const std::string& value,
                          Settings& settings) {
  size_t host_end = authority.starts_with('[') ? authority.find(']') : authority.rfind(':');
  std::string_view host = authority.substr(0, host_end), port;
  if (authority.starts_with('[')) {
    if (host_end == std::string_view::npos) return Fail(Malformed(name, value));
    host = authority.substr(1, host_end - 1);
    std::string_view rest = authority.substr(host_end + 1);
    if (!rest.empty() && rest.front() != ':') return Fail(Malformed(name, value));
    if (!rest.empty()) port = rest.substr(1);
  } else if (host_end != std::string_view::npos) {
    port = authority.substr(host_end + 1);
  }
  std::optional<int64_t> number = port.empty() ? std::optional<int64_t>(DefaultPort(settings.tls)) : ParseInt(port);
  if (host.empty() || !number || *number < 1 || *number > 65'535) return Fail(Malformed(name, value));
  settings.host = host;
  settings.port = static_cast<uint16_t>(*number);
  return {};
}

Result<void> SetEndpoint(const Environment& environment, Settings& settings) {
  std::string name, value;
  for (const char* candidate : kEndpoints) {
    name = candidate;
    value = environment(candidate);
    if (!value.empty()) break;
  }
  if (value.empty()) {
    return Fail(Error(ErrorKind::kFailedPrecondition,
                      "No S3 endpoint is set, so s3:// can't be reached: set AWS_ENDPOINT_URL to the engine's address "
                      "(`sagebrush env` prints it)."));
  }
  std::string_view rest = value;
  size_t colon = rest.find("://");
  std::string scheme = colon == std::string_view::npos ? "" : ToLower(rest.substr(0, colon));
  if (colon != std::string_view::npos) rest.remove_prefix(colon + 3);
  if (scheme.empty()) scheme = IsOff(environment("S3_USE_HTTPS")) ? "http" : "https";
  while (rest.ends_with('/')) rest.remove_suffix(1);
  settings.tls = scheme == "https";
  if ((!settings.tls && scheme != "http") || rest.find('/') != std::string_view::npos) {
    return Fail(Malformed(name, value));
  }
  return SetAuthority(rest, name, value, settings);
}

}  // namespace

std::string ProcessEnvironment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string Settings::Authority() const {
  bool v6 = host.find(':') != std::string::npos;
  std::string name = v6 ? "[" + host + "]" : host;
  return port == DefaultPort(tls) ? name : name + ":" + std::to_string(port);
}

Result<Settings> ReadSettings(const Environment& environment) {
  Settings settings;
  TRYV(SetEndpoint(environment, settings));
  settings.verify = !IsOff(environment("S3_VERIFY_SSL"));
  for (const char* name : kAuthorities) {
    if (settings.ca_file.empty()) settings.ca_file = environment(name);
  }
  for (const char* name : kRegions) {
    if (settings.region.empty()) settings.region = environment(name);
  }
  if (settings.region.empty()) settings.region = "us-east-1";
  settings.credentials = {environment("AWS_ACCESS_KEY_ID"), environment("AWS_SECRET_ACCESS_KEY"),
                          environment("AWS_SESSION_TOKEN")};
  if (settings.credentials.access_key.empty() || settings.credentials.secret.empty()) {
    return Fail(Error(ErrorKind::kUnauthenticated,
                      "No credentials for s3:// are set: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are needed."));
  }
  return settings;
}

}  // namespace sagebrush::tfs3
