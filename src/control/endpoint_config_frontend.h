#pragma once

#include <string>

#include "base/clock.h"
#include "control/arns.h"
#include "control/endpoint_config_table.h"
#include "control/model_frontend.h"
#include "gen/sagemaker.h"

namespace sagebrush::control {

// The API's view of endpoint configurations: checks a request and commits one transaction; it causes nothing else.
// Requests have passed the API model's validation. Thread-safe; calls block. Errors: ValidationException.
class EndpointConfigFrontend {
 public:
  EndpointConfigFrontend(EndpointConfigTable& configs, ModelFrontend& models, const Clock& clock, Arns arns)
      : configs_(configs), models_(models), clock_(clock), arns_(std::move(arns)) {}

  // The models must exist. Repeating the call with the same invocation id succeeds.
  Result<gen::sagemaker::CreateEndpointConfigOutput> Create(gen::sagemaker::CreateEndpointConfigInput request,
                                                            const std::string& invocation_id);
  Result<gen::sagemaker::DescribeEndpointConfigOutput> Describe(
      const gen::sagemaker::DescribeEndpointConfigInput& request);
  Result<gen::sagemaker::ListEndpointConfigsOutput> List(const gen::sagemaker::ListEndpointConfigsInput& request);
  // Endpoints made from it go on.
  Result<gen::sagemaker::DeleteEndpointConfigResponse> Delete(const gen::sagemaker::DeleteEndpointConfigInput& request);

  // As EndpointConfigTable::Get, with the ARN in the message for an unknown name, as hosted.
  Result<EndpointConfigRecord> Get(const std::string& name);
  std::string ArnOf(const std::string& name) const { return arns_.Of("endpoint-config", name); }

 private:
  EndpointConfigTable& configs_;
  ModelFrontend& models_;
  const Clock& clock_;
  const Arns arns_;
};

}  // namespace sagebrush::control
