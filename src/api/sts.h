#pragma once

#include "api/call_context.h"
#include "api/query_service.h"

namespace sagebrush::api {

// The role that everybody plays in this installation.
inline constexpr std::string_view kExecutionRole = "SageMakerExecutionRole";

// GetCallerIdentity. The caller's Arn is that of an assumed role, so that the SDK's get_execution_role() succeeds.
void RegisterSts(QueryService& service, const Installation& installation);

}  // namespace sagebrush::api
