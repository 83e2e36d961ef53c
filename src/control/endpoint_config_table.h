#pragma once

#include <functional>
#include <string>

#include "control/database.h"
#include "control/request_rows.h"
#include "gen/sagemaker.h"

namespace sagebrush::control {

struct EndpointConfigRecord {
  gen::sagemaker::CreateEndpointConfigInput request;
  int64_t created_ms = 0;
};

// The rows of endpoint configurations. Thread-safe; calls block. The only code that touches the table endpoint_configs.
class EndpointConfigTable {
 public:
  explicit EndpointConfigTable(Database& database)
      : database_(database), rows_(database, kTable, "endpoint configuration") {}

  // ValidationException when the name exists, unless the same call (invocation id, not empty) created it: then success.
  Result<void> Insert(const EndpointConfigRecord& record, const std::string& arn, const std::string& invocation_id);
  // kNotFound, ValidationException "Could not find endpoint configuration "NAME"." for an unknown name.
  Result<EndpointConfigRecord> Get(const std::string& name);
  // With its tags; an unknown name as in Get. Endpoints made from it go on: they hold a copy.
  Result<void> Remove(const std::string& name, const std::string& arn);
  Result<gen::sagemaker::ListEndpointConfigsOutput> List(
      const gen::sagemaker::ListEndpointConfigsInput& request,
      const std::function<std::string(const std::string& name)>& arn_of);

 private:
  static constexpr std::string_view kTable = "endpoint_configs";

  Database& database_;
  RequestRows rows_;
};

}  // namespace sagebrush::control
