#pragma once

#include <filesystem>
#include <memory>

#include "serving/backends/backend.h"

namespace sagebrush::serving {

struct OpenVinoOptions {
  std::filesystem::path library_directory;  // the folder `openvino/libs` of the pip package
  int threads_per_run = 1;                  // runs side by side share the cores in parts of so many
};

// Computes with OpenVINO on this machine's processor, in float32. It reads SavedModels itself and knows the signature
// serving_default only, for numbers only; a model with an operation that it cannot convert fails to load, with the
// operation's name.
Result<std::unique_ptr<Backend>> MakeOpenVinoBackend(const OpenVinoOptions& options);

// The folder of OpenVINO's libraries: SAGEBRUSH_OPENVINO, else beside the TensorFlow folder in the same site-packages.
Result<std::filesystem::path> FindOpenVinoLibrary(const std::filesystem::path& tensorflow_directory);

}  // namespace sagebrush::serving
