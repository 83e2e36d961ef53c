#include "control/endpoint_config_frontend.h"

#include "control/endpoint_config_request.h"

namespace sagebrush::control {

namespace sm = gen::sagemaker;

Result<sm::CreateEndpointConfigOutput> EndpointConfigFrontend::Create(sm::CreateEndpointConfigInput request,
                                                                      const std::string& invocation_id) {
  TRYV(CheckEndpointConfigRequest(request));
  for (sm::ProductionVariant& variant : request.ProductionVariants) {
    TRYV(models_.Get(*variant.ModelName));
    if (!variant.InitialVariantWeight) variant.InitialVariantWeight = 1;
  }
  EndpointConfigRecord record{std::move(request), clock_.NowMs()};
  std::string arn = ArnOf(record.request.EndpointConfigName);
  TRYV(configs_.Insert(record, arn, invocation_id));
  return sm::CreateEndpointConfigOutput{arn};
}

Result<EndpointConfigRecord> EndpointConfigFrontend::Get(const std::string& name) {
  Result<EndpointConfigRecord> record = configs_.Get(name);
  if (!record && record.error().kind == ErrorKind::kNotFound) {
    record.error().message = "Could not find endpoint configuration \"" + ArnOf(name) + "\".";
  }
  return record;
}

Result<sm::DescribeEndpointConfigOutput> EndpointConfigFrontend::Describe(
    const sm::DescribeEndpointConfigInput& request) {
  TRY(EndpointConfigRecord record, Get(request.EndpointConfigName));
  sm::DescribeEndpointConfigOutput output;
  output.EndpointConfigName = request.EndpointConfigName;
  output.EndpointConfigArn = ArnOf(request.EndpointConfigName);
  output.ProductionVariants = record.request.ProductionVariants;
  output.DataCaptureConfig = record.request.DataCaptureConfig;
  output.KmsKeyId = record.request.KmsKeyId;
  output.ExecutionRoleArn = record.request.ExecutionRoleArn;
  output.VpcConfig = record.request.VpcConfig;
  output.EnableNetworkIsolation = record.request.EnableNetworkIsolation;
  output.CreationTime.ms = record.created_ms;
  return output;
}

Result<sm::ListEndpointConfigsOutput> EndpointConfigFrontend::List(const sm::ListEndpointConfigsInput& request) {
  return configs_.List(request, [this](const std::string& name) { return ArnOf(name); });
}

Result<sm::DeleteEndpointConfigResponse> EndpointConfigFrontend::Delete(const sm::DeleteEndpointConfigInput& request) {
  TRYV(configs_.Remove(request.EndpointConfigName, ArnOf(request.EndpointConfigName)));
  return sm::DeleteEndpointConfigResponse{};
}

}  // namespace sagebrush::control
