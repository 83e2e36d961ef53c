#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "serving/backends/backend.h"
#include "serving/backends/tensorflow/c_api.h"

namespace sagebrush::serving::tensorflow {

// Loads the SavedModel in `directory` for the tag "serve", with a serialized ConfigProto. `api` outlives the session.
Result<std::unique_ptr<Session>> LoadSession(const CApi& api, const std::string& config,
                                             const std::filesystem::path& directory);

}  // namespace sagebrush::serving::tensorflow
