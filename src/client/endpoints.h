#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "client/logs.h"
#include "client/transport.h"

namespace sagebrush::client {

struct EndpointVariant {
  std::string name, image;
  double weight = 0;
  int64_t instances = 0, desired_instances = 0;  // that serve, and that are wanted
};

// What people want to know of an endpoint. Times are wall clock in milliseconds.
struct Endpoint {
  std::string name, arn, status, failure_reason, config;
  int64_t created_ms = 0, modified_ms = 0;
  std::vector<EndpointVariant> variants;
  std::string json;  // the reply as it came
};

// kNotFound for an endpoint that does not exist, also for a name that no endpoint can have.
Result<Endpoint> DescribeEndpoint(Transport& transport, std::string_view name);
// Names, newest first. Statuses: Creating, InService, Updating, Failed, Deleting.
Result<std::vector<std::string>> ListEndpoints(Transport& transport, const ListQuery& query);
Result<void> DeleteEndpoint(Transport& transport, std::string_view name);

// A stream an instance, also of those that are gone.
LogSource EndpointLog(std::string_view name);

}  // namespace sagebrush::client
