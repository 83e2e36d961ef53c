#include "client/endpoints.h"

#include <algorithm>
#include <utility>

#include "client/calls.h"
#include "gen/sagemaker.h"

namespace sagebrush::client {
namespace {

namespace sm = gen::sagemaker;

// The only input is a name, so a refused one is a name that no endpoint has.
Error UnknownEndpoint(Error error, std::string_view name) {
  if (error.code != "ValidationException") return error;
  return NotFound("There is no endpoint named " + std::string(name) + ".", "ResourceNotFound");
}

EndpointVariant VariantOf(const sm::ProductionVariantSummary& summary) {
  EndpointVariant variant{.name = summary.VariantName,
                          .image = {},
                          .weight = summary.CurrentWeight.value_or(0),
                          .instances = summary.CurrentInstanceCount.value_or(0),
                          .desired_instances = summary.DesiredInstanceCount.value_or(0)};
  if (!summary.DeployedImages.empty()) variant.image = summary.DeployedImages[0].SpecifiedImage.value_or("");
  return variant;
}

}  // namespace

Result<Endpoint> DescribeEndpoint(Transport& transport, std::string_view name) {
  auto body =
      CallSageMaker(transport, "DescribeEndpoint", sm::DescribeEndpointInput{.EndpointName = std::string(name)});
  if (!body) return Fail(UnknownEndpoint(std::move(body).error(), name));
  TRY(sm::DescribeEndpointOutput reply, ReadReply<sm::DescribeEndpointOutput>(*body));
  Endpoint endpoint{.name = reply.EndpointName,
                    .arn = reply.EndpointArn,
                    .status = reply.EndpointStatus,
                    .failure_reason = reply.FailureReason.value_or(""),
                    .config = reply.EndpointConfigName.value_or(""),
                    .created_ms = reply.CreationTime.ms,
                    .modified_ms = reply.LastModifiedTime.ms,
                    .variants = {},
                    .json = *std::move(body)};
  std::ranges::transform(reply.ProductionVariants, std::back_inserter(endpoint.variants), VariantOf);
  return endpoint;
}

Result<std::vector<std::string>> ListEndpoints(Transport& transport, const ListQuery& query) {
  return ListNames<sm::ListEndpointsInput>(transport, "ListEndpoints", query, &sm::ListEndpointsOutput::Endpoints,
                                           &sm::EndpointSummary::EndpointName);
}

Result<void> DeleteEndpoint(Transport& transport, std::string_view name) {
  auto deleted = CallSageMaker(transport, "DeleteEndpoint", sm::DeleteEndpointInput{.EndpointName = std::string(name)});
  if (!deleted) return Fail(UnknownEndpoint(std::move(deleted).error(), name));
  return {};
}

LogSource EndpointLog(std::string_view name) { return {"/aws/sagemaker/Endpoints/" + std::string(name), ""}; }

}  // namespace sagebrush::client
