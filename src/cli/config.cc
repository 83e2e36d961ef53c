#include "cli/config.h"

#include <fmt/format.h>

#include <toml++/toml.h>
#include <algorithm>
#include <array>
#include <boost/asio/ip/address.hpp>
#include <boost/system/error_code.hpp>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "io/file.h"

namespace sagebrush::cli {
namespace {

namespace fs = std::filesystem;

Result<void> SetListen(ServeOptions& options, std::string_view value, const fs::path&) {
  constexpr std::string_view kForm =
      "is not an address and port such as 127.0.0.1:8770 or [::1]:8770, with the address in numbers.";
  size_t colon = value.rfind(':');
  if (colon == std::string_view::npos) return Fail(InvalidArgument(std::string(kForm)));
  std::string host(value.substr(0, colon));
  bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  boost::system::error_code error;
  auto address = boost::asio::ip::make_address(host, error);
  auto port = ParseInt(value.substr(colon + 1));
  if (error || address.is_v6() != bracketed || !port || *port > 65535) {
    return Fail(InvalidArgument(std::string(kForm)));
  }
  options.listen = value;
  return {};
}

bool IsRegion(std::string_view value) {
  auto parts = Split(value, '-');
  if (parts.size() < 3 || value.size() > 32) return false;
  auto lower = [](char c) { return c >= 'a' && c <= 'z'; };
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    if (parts[i].empty() || !std::ranges::all_of(parts[i], lower)) return false;
  }
  return ParseInt(parts.back()).has_value();
}

Result<void> SetRegion(ServeOptions& options, std::string_view value, const fs::path&) {
  if (!IsRegion(value)) {
    return Fail(InvalidArgument("is not the name of an AWS region such as us-west-2 (the SDKs know only AWS's own)."));
  }
  options.region = value;
  return {};
}

Result<void> SetAccount(ServeOptions& options, std::string_view value, const fs::path&) {
  if (value.size() != 12 || !ParseInt(value)) return Fail(InvalidArgument("is not an account number of 12 digits."));
  options.account = value;
  return {};
}

Result<void> SetLogLevel(ServeOptions& options, std::string_view value, const fs::path&) {
  constexpr std::array<std::string_view, 4> kLevels = {"debug", "info", "warning", "error"};
  if (std::ranges::find(kLevels, value) == kLevels.end()) {
    return Fail(InvalidArgument("is none of debug, info, warning, error."));
  }
  options.log_level = value;
  return {};
}

Property Integer(std::string_view name, std::string_view meaning, std::string_view bounds, int64_t least, int64_t most,
                 int64_t ServeOptions::* member) {
  auto set = [=](ServeOptions& options, std::string_view value, const fs::path&) -> Result<void> {
    auto number = ParseInt(value);
    if (!number || *number < least || *number > most) {
      return Fail(InvalidArgument(fmt::format("is not a whole number from {} to {}.", least, most)));
    }
    options.*member = *number;
    return {};
  };
  auto get = [=](const ServeOptions& options) { return std::to_string(options.*member); };
  return {.name = name, .meaning = meaning, .bounds = bounds, .integer = true, .set = set, .get = get};
}

Property File(std::string_view name, std::string_view meaning, std::string_view bounds,
              fs::path ServeOptions::* member) {
  auto set = [=](ServeOptions& options, std::string_view value, const fs::path& base) -> Result<void> {
    fs::path path = value.empty() ? fs::path() : (base / fs::path(value)).lexically_normal();
    std::error_code error;
    if (!path.empty() && !fs::is_regular_file(path, error)) {
      return Fail(
          InvalidArgument(fmt::format("names no file: {} does not exist or is no regular file.", path.string())));
    }
    options.*member = std::move(path);
    return {};
  };
  auto get = [=](const ServeOptions& options) { return (options.*member).string(); };
  return {.name = name, .meaning = meaning, .bounds = bounds, .set = set, .get = get};
}

Property Directory(std::string_view name, std::string_view meaning, std::string_view bounds,
                   fs::path ServeOptions::* member) {
  auto set = [=](ServeOptions& options, std::string_view value, const fs::path& base) -> Result<void> {
    fs::path path = value.empty() ? fs::path() : (base / fs::path(value)).lexically_normal();
    std::error_code error;
    if (!path.empty() && fs::exists(path, error) && !fs::is_directory(path, error)) {
      return Fail(InvalidArgument(fmt::format("names no directory: {} is something else.", path.string())));
    }
    options.*member = std::move(path);
    return {};
  };
  auto get = [=](const ServeOptions& options) { return (options.*member).string(); };
  return {.name = name, .meaning = meaning, .bounds = bounds, .set = set, .get = get};
}

Property Text(std::string_view name, std::string_view meaning, std::string_view bounds,
              Result<void> (*set)(ServeOptions&, std::string_view, const fs::path&),
              std::string ServeOptions::* member) {
  auto get = [=](const ServeOptions& options) { return options.*member; };
  return {.name = name, .meaning = meaning, .bounds = bounds, .set = set, .get = get};
}

std::vector<Property> MakeProperties() {
  return {
      Text("listen", "Address and port of the engine's API; anything but loopback lets other machines in.",
           "address:port; port 0 takes any free one", SetListen, &ServeOptions::listen),
      Text("region", "The AWS region that the engine answers as, and that `sagebrush env` sets.",
           "the name of an AWS region", SetRegion, &ServeOptions::region),
      Text("account", "The AWS account number that appears in ARNs and in the default bucket's name.", "12 digits",
           SetAccount, &ServeOptions::account),
      File("images_file",
           "Maps further image URIs to environments; empty: images.toml in the data directory, when it exists.",
           "an existing file, or empty", &ServeOptions::images_file),
      Directory("images_cache", "Where the environments that images stand for are kept; engines may share it.",
                "a directory, made when absent; empty: images/ in the data directory", &ServeOptions::images_cache),
      Directory("wheels",
                "Prebuilt wheels of packages that are otherwise built from source at their first use (Horovod).",
                "a directory, or empty", &ServeOptions::wheels),
      Integer("capacity_vcpus",
              "How many vCPUs of running instances fit at once; later jobs wait in Pending. "
              "0: four for each CPU of the machine.",
              "0 to 100000", 0, 100'000, &ServeOptions::capacity_vcpus),
      Integer("gang_wait_seconds",
              "How long the instances of a job that are ready to start wait for those that are not; then the job "
              "fails and names the missing one.",
              "1 to 86400", 1, 86'400, &ServeOptions::gang_wait_seconds),
      Integer(
          "endpoint_start_seconds",
          "The longest that an instance of an endpoint may take from its start to its first answered ping, whatever "
          "its endpoint configuration allows.",
          "1 to 7200", 1, 7200, &ServeOptions::endpoint_start_seconds),
      Integer("invocation_timeout_seconds", "How long an invocation waits for its endpoint's answer to begin.",
              "1 to 86400", 1, 86'400, &ServeOptions::invocation_timeout_seconds),
      Integer("max_invocation_bytes", "The largest body of an invocation.", "1024 to 1073741824", 1024, 1'073'741'824,
              &ServeOptions::max_invocation_bytes),
      File("model_server",
           "The program that serves TensorFlow models in endpoints; empty: sagebrush-model-server beside this program.",
           "an existing file, or empty", &ServeOptions::model_server),
      File("agent", "The program that runs one instance of a job; empty: sagebrush-agent beside this program.",
           "an existing file, or empty", &ServeOptions::agent),
      File("uv", "The uv program, which builds Python environments; empty: the one in the data directory or on PATH.",
           "an existing file, or empty", &ServeOptions::uv),
      Integer("metrics_seconds_hours", "For how many hours metrics are kept by the second; then by the minute.",
              "1 to 336", 1, 336, &ServeOptions::metrics_seconds_hours),
      Integer("metrics_minutes_days", "For how many days metrics are kept by the minute; then by five minutes.",
              "1 to 3650", 1, 3650, &ServeOptions::metrics_minutes_days),
      Integer("metrics_five_minutes_days", "For how many days metrics are kept by five minutes; then by the hour.",
              "1 to 3650", 1, 3650, &ServeOptions::metrics_five_minutes_days),
      Integer("metrics_hours_days", "For how many days metrics are kept by the hour; then they are forgotten.",
              "1 to 36500", 1, 36'500, &ServeOptions::metrics_hours_days),
      Integer("io_threads", "Threads that serve connections.", "1 to 64", 1, 64, &ServeOptions::io_threads),
      Integer("blocking_threads", "Threads for disk, database and hashing: how many requests work at once.", "2 to 256",
              2, 256, &ServeOptions::blocking_threads),
      Text("log_level", "The least level of the engine's own log lines on standard error.",
           "debug, info, warning or error", SetLogLevel, &ServeOptions::log_level),
  };
}

Error BadValue(std::string_view origin, std::string_view name, std::string_view value, const Error& reason) {
  return InvalidArgument(fmt::format("{}: {} = \"{}\" {}", origin, name, value, reason.message));
}

const Property* FindProperty(std::string_view name) {
  auto properties = Properties();
  auto found = std::ranges::find(properties, name, &Property::name);
  return found == properties.end() ? nullptr : &*found;
}

std::string KnownNames() {
  std::string names;
  for (const Property& property : Properties()) {
    if (!names.empty()) names += ", ";
    names += property.name;
  }
  return names;
}

Result<std::string> TomlValue(const toml::node& node, const Property& property, std::string_view origin) {
  if (property.integer) {
    if (auto number = node.value_exact<int64_t>()) return std::to_string(*number);
  } else if (auto text = node.value_exact<std::string>()) {
    return *text;
  }
  return Fail(InvalidArgument(fmt::format("{}: {} must be a {}.", origin, property.name,
                                          property.integer ? "whole number" : "text in quotes")));
}

Result<toml::table> ParseToml(const std::string& text, const fs::path& file) {
  try {
    return toml::parse(text, file.string());
  } catch (const toml::parse_error& error) {
    return Fail(
        InvalidArgument(fmt::format("{}:{}: {}", file.string(), error.source().begin.line, error.description())));
  }
}

Result<void> ApplyFile(Configuration& configuration, const fs::path& file) {
  auto text = io::ReadFile(file);
  if (!text && text.error().kind == ErrorKind::kNotFound) return {};
  if (!text) return Fail(text.error());
  TRY(toml::table parsed, ParseToml(*text, file));
  for (auto&& [key, node] : parsed) {
    std::string origin = fmt::format("{}:{}", file.string(), key.source().begin.line);
    const Property* property = FindProperty(key.str());
    if (!property) {
      return Fail(InvalidArgument(
          fmt::format("{}: there is no setting named {}. The settings are: {}.", origin, key.str(), KnownNames())));
    }
    TRY(std::string value, TomlValue(node, *property, origin));
    if (auto set = property->set(configuration.options, value, file.parent_path()); !set) {
      return Fail(BadValue(origin, property->name, value, set.error()));
    }
    configuration.origins[property->name] = origin;
  }
  return {};
}

}  // namespace

std::string Property::Flag() const {
  std::string flag = "--" + std::string(name);
  std::ranges::replace(flag, '_', '-');
  return flag;
}

std::string Property::Variable() const {
  std::string variable = "SAGEBRUSH_";
  for (char c : name) variable += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return variable;
}

std::span<const Property> Properties() {
  static const auto* const properties = new std::vector<Property>(MakeProperties());
  return *properties;
}

Result<Configuration> LoadConfiguration(const fs::path& data_dir, const GetEnvironment& environment,
                                        const std::map<std::string, std::string>& flags) {
  Configuration configuration;
  configuration.options.data_dir = data_dir;
  for (const Property& property : Properties()) configuration.origins[property.name] = "default";
  TRYV(ApplyFile(configuration, data_dir / "sagebrush.toml"));
  std::error_code ignored;
  fs::path here = fs::current_path(ignored);
  auto apply = [&](const Property& property, const std::string& value, const std::string& origin) -> Result<void> {
    if (auto set = property.set(configuration.options, value, here); !set) {
      return Fail(BadValue(origin, property.name, value, set.error()));
    }
    configuration.origins[property.name] = origin;
    return {};
  };
  for (const Property& property : Properties()) {
    if (auto value = environment(property.Variable())) TRYV(apply(property, *value, property.Variable()));
    auto flag = flags.find(std::string(property.name));
    if (flag != flags.end()) TRYV(apply(property, flag->second, property.Flag()));
  }
  return configuration;
}

std::string ShowConfiguration(const Configuration& configuration) {
  std::string text = fmt::format("# data directory: {}\n", configuration.options.data_dir.string());
  for (const Property& property : Properties()) {
    std::string value = property.get(configuration.options);
    text += property.integer ? fmt::format("{} = {}", property.name, value)
                             : fmt::format("{} = \"{}\"", property.name, JsonEscape(value));
    text += fmt::format("  # {}\n", configuration.origins.at(property.name));
  }
  return text;
}

std::string ExplainConfiguration() {
  std::string text =
      "The engine's settings. Each may stand in sagebrush.toml of the data directory, in the environment, or on the\n"
      "command line of `sagebrush serve`; a later one of these wins.\n"
      "The data directory itself: --data-dir, else SAGEBRUSH_HOME, else /var/lib/sagebrush for root, else\n"
      "$XDG_DATA_HOME/sagebrush or ~/.local/share/sagebrush.\n";
  const ServeOptions defaults;
  for (const Property& property : Properties()) {
    std::string value = property.get(defaults);
    text +=
        fmt::format("\n{}\n  {}\n  default:  {}\n  allowed:  {}\n  also as:  {}, {}\n", property.name, property.meaning,
                    value.empty() ? "(empty)" : value, property.bounds, property.Variable(), property.Flag());
  }
  return text;
}

}  // namespace sagebrush::cli
