#pragma once

#include <functional>
#include <string>

#include "base/clock.h"
#include "control/arns.h"
#include "control/endpoint_config_frontend.h"
#include "control/endpoint_table.h"
#include "control/model_frontend.h"
#include "gen/sagemaker.h"

namespace sagebrush::control {

// The API's view of endpoints: checks a request, commits one transaction, and wakes the reconciler; it causes nothing
// else. Requests have passed the API model's validation. Thread-safe; calls block. Errors have the code
// ValidationException.
class EndpointFrontend {
 public:
  struct Options {
    Arns arns;
    std::function<void(const EndpointName&)> wake;  // the reconciler
    int64_t most_start_ms = 0;  // what an instance gets for its start, whatever its configuration allows; 0: no limit
  };
  EndpointFrontend(EndpointTable& endpoints, EndpointConfigFrontend& configs, ModelFrontend& models, const Clock& clock,
                   Options options);

  // Takes a copy of the configuration and its models: both may be deleted afterwards.
  Result<gen::sagemaker::CreateEndpointOutput> Create(const gen::sagemaker::CreateEndpointInput& request,
                                                      const std::string& invocation_id);
  Result<gen::sagemaker::DescribeEndpointOutput> Describe(const gen::sagemaker::DescribeEndpointInput& request);
  Result<gen::sagemaker::ListEndpointsOutput> List(const gen::sagemaker::ListEndpointsInput& request);
  Result<gen::sagemaker::UpdateEndpointOutput> Update(const gen::sagemaker::UpdateEndpointInput& request);
  Result<gen::sagemaker::UpdateEndpointWeightsAndCapacitiesOutput> UpdateWeightsAndCapacities(
      const gen::sagemaker::UpdateEndpointWeightsAndCapacitiesInput& request);
  // In every state. Deleting a deleting endpoint succeeds.
  Result<void> Delete(const gen::sagemaker::DeleteEndpointInput& request);

  std::string ArnOf(const std::string& endpoint_name) const { return options_.arns.Of("endpoint", endpoint_name); }

 private:
  Result<domain::Fleet> FleetOf(const std::string& config_name);
  // Commits what a request asks for, and wakes the reconciler.
  Result<void> Change(const EndpointName& name, const EndpointTable::Change& change);

  EndpointTable& endpoints_;
  EndpointConfigFrontend& configs_;
  ModelFrontend& models_;
  const Clock& clock_;
  const Options options_;
};

}  // namespace sagebrush::control
