#pragma once

#include <span>
#include <string>

#include "serving/core/model_spec.h"
#include "serving/core/servable.h"

namespace sagebrush::serving {

// The replies to status and metadata requests, formatted as TensorFlow Serving prints its protos: indented by one
// space, 64-bit numbers as strings, defaults included.
std::string PrintModelStatus(std::span<const VersionStatus> versions);
std::string PrintModelMetadata(const Servable& servable);

}  // namespace sagebrush::serving
