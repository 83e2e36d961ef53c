#pragma once

#include <functional>
#include <string>
#include <vector>

#include "control/database.h"
#include "domain/endpoint.h"
#include "gen/sagemaker.h"

namespace sagebrush::control {

using EndpointName = StrongId<struct EndpointNameTag>;

// The rows of endpoints. Thread-safe; calls block. The only code that touches the table endpoints.
class EndpointTable {
 public:
  explicit EndpointTable(Database& database) : database_(database) {}

  // ValidationException when the name exists, unless the same call (invocation id, not empty) created it: then success.
  Result<void> Insert(const EndpointName& name, const domain::EndpointState& state, const std::string& arn,
                      const std::vector<gen::sagemaker::Tag>& tags, const std::string& invocation_id);
  // kNotFound (ValidationException "Could not find endpoint …") for an unknown name.
  Result<domain::EndpointState> Get(const EndpointName& name);
  Result<std::vector<EndpointName>> All();
  Result<gen::sagemaker::ListEndpointsOutput> List(const gen::sagemaker::ListEndpointsInput& request,
                                                   const std::function<std::string(const std::string& name)>& arn_of);

  // Reads the state, lets `change` alter it and writes it, in one transaction. An error from `change` leaves the row as
  // it was.
  using Change = std::function<Result<void>(domain::EndpointState&)>;
  Result<domain::EndpointState> Update(const EndpointName& name, const Change& change);
  // With its tags. Removing an unknown one succeeds.
  Result<void> Remove(const EndpointName& name, const std::string& arn);

 private:
  Database& database_;
};

}  // namespace sagebrush::control
