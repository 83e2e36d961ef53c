#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/error.h"

namespace sagebrush::serving {

// Which version of which model a request means: a number, else a label, else the newest that is available.
struct ModelSpec {
  std::string name;
  std::optional<int64_t> version;
  std::string label;
};

// Which of the versions in a model's directory are to be served (TensorFlow Serving's model_version_policy).
struct LatestVersions {
  uint32_t count = 1;
};
struct AllVersions {};
struct SpecificVersions {
  std::vector<int64_t> versions;
};
using VersionPolicy = std::variant<LatestVersions, AllVersions, SpecificVersions>;

// One model to be served (TensorFlow Serving's ModelConfig).
struct ModelConfig {
  std::string name;
  std::filesystem::path base_path;  // holds the version directories, whose names are all digits
  VersionPolicy policy;
  std::map<std::string, int64_t> labels;
};

// TensorFlow Serving's states of a version, with its numbers.
enum class VersionState { kUnknown = 0, kStart = 10, kLoading = 20, kAvailable = 30, kUnloading = 40, kEnd = 50 };
// "AVAILABLE".
std::string_view ToString(VersionState state);

struct VersionStatus {
  int64_t version = 0;
  VersionState state = VersionState::kUnknown;
  std::optional<Error> error;  // why it ended, where it did not end in peace
};

}  // namespace sagebrush::serving
