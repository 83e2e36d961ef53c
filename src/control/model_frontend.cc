#include "control/model_frontend.h"

#include "control/model_request.h"

namespace sagebrush::control {

namespace sm = gen::sagemaker;

Result<sm::CreateModelOutput> ModelFrontend::Create(sm::CreateModelInput request, const std::string& invocation_id) {
  TRYV(CheckModelRequest(request));
  ModelRecord record{std::move(request), clock_.NowMs()};
  std::string arn = ArnOf(record.request.ModelName);
  TRYV(models_.Insert(record, arn, invocation_id));
  return sm::CreateModelOutput{arn};
}

Result<ModelRecord> ModelFrontend::Get(const std::string& name) {
  Result<ModelRecord> record = models_.Get(name);
  if (!record && record.error().kind == ErrorKind::kNotFound) {
    record.error().message = "Could not find model \"" + ArnOf(name) + "\".";
  }
  return record;
}

Result<sm::DescribeModelOutput> ModelFrontend::Describe(const sm::DescribeModelInput& request) {
  TRY(ModelRecord record, Get(request.ModelName));
  sm::DescribeModelOutput output;
  output.ModelName = request.ModelName;
  output.ModelArn = ArnOf(request.ModelName);
  output.PrimaryContainer = record.request.PrimaryContainer;
  output.Containers = record.request.Containers;
  // Absent, the hosted service shows its default.
  if (output.PrimaryContainer && !output.PrimaryContainer->Mode) output.PrimaryContainer->Mode = "SingleModel";
  for (sm::ContainerDefinition& container : output.Containers) {
    if (!container.Mode) container.Mode = "SingleModel";
  }
  output.ExecutionRoleArn = record.request.ExecutionRoleArn;
  output.VpcConfig = record.request.VpcConfig;
  output.EnableNetworkIsolation = record.request.EnableNetworkIsolation.value_or(false);
  output.CreationTime.ms = record.created_ms;
  return output;
}

Result<sm::ListModelsOutput> ModelFrontend::List(const sm::ListModelsInput& request) {
  return models_.List(request, [this](const std::string& name) { return ArnOf(name); });
}

Result<sm::DeleteModelResponse> ModelFrontend::Delete(const sm::DeleteModelInput& request) {
  TRYV(models_.Remove(request.ModelName, ArnOf(request.ModelName)));
  return sm::DeleteModelResponse{};
}

}  // namespace sagebrush::control
