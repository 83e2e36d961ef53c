#pragma once

#include <tensorflow_serving/model_server_config.pb.h>

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "serving/core/model_spec.h"

namespace sagebrush::serving {

// The models of TensorFlow Serving's ModelServerConfig. Every field is honoured or refused (kInvalidArgument,
// kUnsupported); `place` names the entry of an index in such an error: "models.config:3", "config 0".
Result<std::vector<ModelConfig>> ModelConfigsFromProto(const ::tensorflow::serving::ModelServerConfig& proto,
                                                       const std::function<std::string(int index)>& place);

}  // namespace sagebrush::serving
