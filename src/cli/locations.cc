#include "cli/locations.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <utility>

#include "base/text.h"
#include "control/credentials.h"
#include "io/file.h"

namespace sagebrush::cli {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

Error NotRunning(const fs::path& data_dir, std::string_view detail) {
  std::string message = fmt::format(
      "The Sagebrush engine is not running on {}{}. Start it with `sagebrush serve` (with the same --data-dir or "
      "SAGEBRUSH_HOME).",
      data_dir.string(), detail);
  std::error_code ignored;
  if (geteuid() != 0 && data_dir != "/var/lib/sagebrush" && fs::exists("/var/lib/sagebrush/engine.json", ignored)) {
    message += " An engine of root's runs on /var/lib/sagebrush: use sudo to reach that one.";
  }
  return Error(ErrorKind::kUnavailable, std::move(message));
}

bool Connects(const addrinfo& address) {
  io::UniqueFd fd(socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return false;
  if (connect(fd.get(), address.ai_addr, address.ai_addrlen) == 0) return true;
  if (errno != EINPROGRESS) return false;
  pollfd waiting{.fd = fd.get(), .events = POLLOUT, .revents = 0};
  if (poll(&waiting, 1, 1000) != 1) return false;
  int error = 0;
  socklen_t length = sizeof error;
  return getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0;
}

bool IsProgram(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored) && access(path.c_str(), X_OK) == 0;
}

}  // namespace

std::optional<std::string> ProcessEnvironment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (!value || !*value) return std::nullopt;
  return std::string(value);
}

Result<fs::path> ResolveDataDirectory(const std::string& flag, const GetEnvironment& environment, bool is_root) {
  auto absolute = [](const fs::path& path) -> Result<fs::path> {
    std::error_code error;
    fs::path whole = fs::absolute(path, error).lexically_normal();
    if (error) return Fail(FromErrno(error.value(), "The current directory"));
    if (!whole.has_filename()) whole = whole.parent_path();
    return whole;
  };
  if (!flag.empty()) return absolute(flag);
  if (auto home = environment("SAGEBRUSH_HOME")) return absolute(*home);
  if (is_root) return fs::path("/var/lib/sagebrush");
  if (auto data = environment("XDG_DATA_HOME")) return absolute(fs::path(*data) / "sagebrush");
  if (auto home = environment("HOME")) return absolute(fs::path(*home) / ".local/share/sagebrush");
  return Fail(InvalidArgument("There is no data directory: set HOME or SAGEBRUSH_HOME, or give --data-dir."));
}

std::pair<std::string, std::string> HostAndPort(std::string_view endpoint) {
  if (size_t scheme = endpoint.find("://"); scheme != std::string_view::npos) endpoint.remove_prefix(scheme + 3);
  endpoint = endpoint.substr(0, endpoint.find('/'));
  size_t colon = endpoint.rfind(':');
  if (colon == std::string_view::npos) return {std::string(endpoint), ""};
  std::string host(endpoint.substr(0, colon));
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  return {std::move(host), std::string(endpoint.substr(colon + 1))};
}

bool Listens(const std::string& host, const std::string& port) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0) return false;
  std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  return Connects(*found);
}

Result<EngineRecord> FindEngine(const fs::path& data_dir) {
  auto text = io::ReadFile(data_dir / "engine.json");
  if (!text && text.error().kind == ErrorKind::kNotFound) return Fail(NotRunning(data_dir, ""));
  if (!text) return Fail(text.error());
  boost::system::error_code error;
  json::value document = json::parse(*text, error);
  const json::object* object = error ? nullptr : document.if_object();
  auto string = [&](const char* key) {
    const json::value* value = object ? object->if_contains(key) : nullptr;
    return value && value->is_string() ? std::string(value->get_string()) : std::string();
  };
  EngineRecord record{.endpoint = string("endpoint"), .version = string("version"), .region = string("region")};
  if (const json::value* pid = object ? object->if_contains("pid") : nullptr; pid && pid->is_int64()) {
    record.pid = pid->get_int64();
  }
  if (record.endpoint.empty()) {
    return Fail(Error(ErrorKind::kDataLoss, fmt::format("{} is damaged: it names no endpoint. Restart the engine.",
                                                        (data_dir / "engine.json").string())));
  }
  auto [host, port] = HostAndPort(record.endpoint);
  if (!Listens(host, port)) {
    return Fail(NotRunning(data_dir, fmt::format(": it was last at {} (process {}) and nobody answers there",
                                                 record.endpoint, record.pid)));
  }
  return record;
}

Result<client::Target> FindTarget(const fs::path& data_dir, const std::string& region) {
  TRY(EngineRecord engine, FindEngine(data_dir));
  fs::path file = data_dir / "credentials.json";
  std::error_code ignored;
  // KeyRing would make the file; only an engine may do that.
  if (!fs::exists(file, ignored)) {
    return Fail(
        Error(ErrorKind::kNotFound, fmt::format("{} is missing. Restart the engine, which makes it.", file.string())));
  }
  auto keys = control::KeyRing::Open(file);
  if (!keys) {
    return Fail(std::move(keys).error().Because(
        fmt::format("Cannot read the owner's keys; are you the user that runs the engine? ({})", file.string())));
  }
  return client::Target{.endpoint = engine.endpoint,
                        .credentials = keys->owner(),
                        .region = engine.region.empty() ? region : engine.region};
}

fs::path BesideThisProgram(std::string_view name) {
  std::error_code error;
  fs::path self = fs::read_symlink("/proc/self/exe", error);
  return error ? fs::path() : self.parent_path() / name;
}

fs::path FindOnPath(std::string_view name) {
  std::string path = ProcessEnvironment("PATH").value_or("/usr/local/bin:/usr/bin:/bin");
  for (std::string_view directory : Split(path, ':')) {
    if (directory.empty()) continue;
    fs::path candidate = fs::path(directory) / name;
    if (IsProgram(candidate)) return candidate;
  }
  return {};
}

fs::path FindUv(const fs::path& configured, const fs::path& data_dir) {
  if (!configured.empty()) return configured;
  for (fs::path candidate : {data_dir / "bin/uv", BesideThisProgram("uv")}) {
    if (IsProgram(candidate)) return candidate;
  }
  return FindOnPath("uv");
}

}  // namespace sagebrush::cli
