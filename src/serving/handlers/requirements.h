#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include "base/result.h"

namespace sagebrush::serving {

// Installs `requirements` with the interpreter's pip (or uv, where the interpreter has no pip) into `target`, a
// directory of our own, so that the interpreter's environment stays as it is. Blocks. kFailedPrecondition with the
// installer's last words.
Result<void> InstallRequirements(const std::string& python, const std::filesystem::path& requirements,
                                 const std::filesystem::path& target, std::chrono::seconds deadline);

}  // namespace sagebrush::serving
