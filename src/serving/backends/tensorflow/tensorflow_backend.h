#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "serving/backends/backend.h"

namespace sagebrush::serving {

struct TensorFlowOptions {
  // The directory that holds libtensorflow_cc.so.2: the folder `tensorflow` of the pip package.
  std::filesystem::path library_directory;
  // Threads within one operation, process-wide: TensorFlow takes them from the first model that it loads. 0: one a
  // core.
  int intra_op_threads = 1;
  // Threads that run operations side by side. -1: each run computes in its caller's thread, which lets concurrent runs
  // not wait for each other; 0: one a core.
  int inter_op_threads = -1;
  // Intel's kernels: which is better depends on the processor, the model and the batch. nullopt leaves the choice to
  // TensorFlow, which goes by the processor. Read by TensorFlow when its library is loaded.
  std::optional<bool> onednn;
};

// Loads TensorFlow's library (some 0.3 s and 280 MB) for this process, once. kNotFound or kUnavailable where there is
// none, with the command that installs it.
Result<std::unique_ptr<Backend>> MakeTensorFlowBackend(const TensorFlowOptions& options);

// Where this machine has TensorFlow's library: SAGEBRUSH_TENSORFLOW, else the `tensorflow` folder of an active or a
// nearby Python environment (VIRTUAL_ENV, then `python3` in PATH). kNotFound says what was looked at.
Result<std::filesystem::path> FindTensorFlowLibrary();

}  // namespace sagebrush::serving
