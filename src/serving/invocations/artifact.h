#pragma once

#include <filesystem>
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

}  // namespace sagebrush::serving
