#pragma once

#include <string>

#include "base/clock.h"
#include "control/arns.h"
#include "control/model_table.h"
#include "gen/sagemaker.h"

namespace sagebrush::control {

// The API's view of models: checks a request and commits one transaction; it causes nothing else. Requests have passed
// the API model's validation. Thread-safe; calls block. Errors: ValidationException.
class ModelFrontend {
 public:
  ModelFrontend(ModelTable& models, const Clock& clock, Arns arns)
      : models_(models), clock_(clock), arns_(std::move(arns)) {}

  // Repeating the call with the same invocation id succeeds.
  Result<gen::sagemaker::CreateModelOutput> Create(gen::sagemaker::CreateModelInput request,
                                                   const std::string& invocation_id);
  Result<gen::sagemaker::DescribeModelOutput> Describe(const gen::sagemaker::DescribeModelInput& request);
  Result<gen::sagemaker::ListModelsOutput> List(const gen::sagemaker::ListModelsInput& request);
  // Endpoints that serve the model go on.
  Result<gen::sagemaker::DeleteModelResponse> Delete(const gen::sagemaker::DeleteModelInput& request);

  // As ModelTable::Get, with the ARN in the message for an unknown name, as hosted.
  Result<ModelRecord> Get(const std::string& name);
  std::string ArnOf(const std::string& name) const { return arns_.Of("model", name); }

 private:
  ModelTable& models_;
  const Clock& clock_;
  const Arns arns_;
};

}  // namespace sagebrush::control
