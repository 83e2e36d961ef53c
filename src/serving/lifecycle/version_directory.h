#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <vector>

#include "base/result.h"
#include "serving/core/model_spec.h"

namespace sagebrush::serving {

// The version directories of a model: children of its base path whose names are all digits ("00000123" is 123), by
// number. Of two names of one number the shorter counts. kNotFound when the base path is absent.
Result<std::map<int64_t, std::filesystem::path>> ListVersions(const std::filesystem::path& base_path);

// Those of `present` that the policy wants, newest first.
std::vector<int64_t> AspiredVersions(const std::map<int64_t, std::filesystem::path>& present,
                                     const VersionPolicy& policy);

}  // namespace sagebrush::serving
