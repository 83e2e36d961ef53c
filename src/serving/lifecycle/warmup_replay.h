#pragma once

#include <filesystem>

#include "serving/core/servable.h"

namespace sagebrush::serving {

// Makes the calls that the model's author recorded in assets.extra/tf_serving_warmup_requests of a loaded version. An
// error for a damaged file, and for the first call that the model cannot answer, with its number.
Result<void> ReplayWarmup(const std::filesystem::path& version_directory, const Servable& version);

}  // namespace sagebrush::serving
