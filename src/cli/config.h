#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/serve.h"

namespace sagebrush::cli {

// One setting of the engine: a row of the table that the file, the environment, the flags, their help and
// `sagebrush config --explain` are all made from.
struct Property {
  std::string_view name;     // key in sagebrush.toml; "--<name with dashes>" and "SAGEBRUSH_<NAME>" elsewhere
  std::string_view meaning;  // one sentence
  std::string_view bounds;   // what values are allowed, for people
  bool integer = false;      // a TOML integer, else a TOML string
  // Refuses what is out of bounds; the message says what is allowed. `base` is where a relative path starts.
  std::function<Result<void>(ServeOptions&, std::string_view value, const std::filesystem::path& base)> set;
  std::function<std::string(const ServeOptions&)> get;

  std::string Flag() const;
  std::string Variable() const;
};

std::span<const Property> Properties();

using GetEnvironment = std::function<std::optional<std::string>(const std::string& name)>;

struct Configuration {
  ServeOptions options;
  std::map<std::string_view, std::string> origins;  // property name → "default", "<file>:<line>", "SAGEBRUSH_X", "--x"
};

// Defaults, then <data_dir>/sagebrush.toml when it exists, then the environment, then `flags` (property name →
// value). An unknown key or bad value is kInvalidArgument, with file and line.
Result<Configuration> LoadConfiguration(const std::filesystem::path& data_dir, const GetEnvironment& environment,
                                        const std::map<std::string, std::string>& flags);

// What `sagebrush config` and `sagebrush config --explain` print.
std::string ShowConfiguration(const Configuration& configuration);
std::string ExplainConfiguration();

}  // namespace sagebrush::cli
