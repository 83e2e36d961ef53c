#pragma once

#include <string>
#include <vector>

#include "client/endpoints.h"

namespace sagebrush::cli {

// How endpoints look, apart from how they are fetched.

std::string EndpointTable(const std::vector<client::Endpoint>& endpoints);
// An array of the replies of DescribeEndpoint.
std::string EndpointsJson(const std::vector<client::Endpoint>& endpoints);
std::string EndpointSummary(const client::Endpoint& endpoint);

}  // namespace sagebrush::cli
