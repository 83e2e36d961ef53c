#pragma once

#include <filesystem>

#include "serving/config/warmup_records.h"
#include "serving/core/servable.h"

namespace sagebrush::serving {

// The recorded call as a request of a model with these signatures. kInvalidArgument when they do not fit.
Result<InferenceRequest> ToRequest(const WarmupCall& call, const SignatureMap& signatures);

// Makes the calls that the model's author recorded in assets.extra/tf_serving_warmup_requests of a loaded version. An
// error for a damaged file, and for the first call that the model cannot answer, with its number.
Result<void> ReplayWarmup(const std::filesystem::path& version_directory, const Servable& version);

}  // namespace sagebrush::serving
