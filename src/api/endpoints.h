#pragma once

#include "api/json_service.h"
#include "control/endpoint_frontend.h"

namespace sagebrush::api {

// The operations on endpoints, of the service "SageMaker".
void RegisterEndpoints(JsonService& service, control::EndpointFrontend& endpoints);

}  // namespace sagebrush::api
