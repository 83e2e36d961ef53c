#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "serving/core/model_spec.h"

namespace sagebrush::serving {

// The models of an unpacked model.tar.gz, as the hosted TensorFlow container finds them: every saved_model.pb whose
// parent directory is all digits is a version, the directory above it the model, whose name is that directory's own
// ("model" for versions directly below `root`). All versions are served. Ordered by path. kFailedPrecondition for an
// artifact without a model, or with two of one name. Blocks on the file system.
Result<std::vector<ModelConfig>> FindModels(const std::filesystem::path& root);

// The model that a request without a model's name means: `wanted` (empty: the first). kInvalidArgument when there is
// no such model.
Result<std::string> ChooseDefaultModel(const std::vector<ModelConfig>& models, const std::string& wanted);

// The user's Python code beside a model: a directory `code` with inference.py in it.
struct HandlerCode {
  std::filesystem::path directory;                    // …/code, goes on the Python path
  std::filesystem::path script;                       // …/code/inference.py
  std::optional<std::filesystem::path> requirements;  // …/code/requirements.txt, to be installed; never with `library`
  std::optional<std::filesystem::path> library;       // …/code/lib, goes on the Python path in place of requirements
};

// nullopt when `root` has no code/inference.py. Where both code/lib and requirements.txt are there, the latter are
// ignored with a warning in the log.
std::optional<HandlerCode> FindHandlerCode(const std::filesystem::path& root);

}  // namespace sagebrush::serving
