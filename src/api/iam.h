#pragma once

#include <string>
#include <string_view>

#include "api/call_context.h"
#include "api/query_service.h"

namespace sagebrush::api {

// GetRole and SimulatePrincipalPolicy. An installation has one owner and no policies: every role name names a role,
// and every action is allowed to it.
void RegisterIam(QueryService& service, const Installation& installation);

// "AROA" and 17 more characters, the same for a name at every call.
std::string RoleId(std::string_view role_name);

}  // namespace sagebrush::api
