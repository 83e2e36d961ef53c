#pragma once

#include "base/result.h"
#include "gen/sagemaker.h"

namespace sagebrush::control {

// What the API model cannot state: variants of a model on CPU instances, of unique names, with a weight above 0 among
// them; and the fields that Sagebrush does not honour, each refused by its name (docs/compatibility.md lists them).
// Code ValidationException. Whether the models exist is not asked here.
Result<void> CheckEndpointConfigRequest(const gen::sagemaker::CreateEndpointConfigInput& request);

}  // namespace sagebrush::control
