#include "api/endpoints.h"

#include "gen/sagemaker.h"

namespace sagebrush::api {

namespace sm = gen::sagemaker;

void RegisterEndpoints(JsonService& service, control::EndpointFrontend& endpoints) {
  service.Register<sm::CreateEndpointInput, sm::CreateEndpointOutput>(
      "CreateEndpoint", [&endpoints](const auto& request, const CallContext& context) {
        return endpoints.Create(request, context.invocation_id);
      });
  service.Register<sm::DescribeEndpointInput, sm::DescribeEndpointOutput>(
      "DescribeEndpoint",
      [&endpoints](const auto& request, const CallContext&) { return endpoints.Describe(request); });
  service.Register<sm::ListEndpointsInput, sm::ListEndpointsOutput>(
      "ListEndpoints", [&endpoints](const auto& request, const CallContext&) { return endpoints.List(request); });
  service.Register<sm::UpdateEndpointInput, sm::UpdateEndpointOutput>(
      "UpdateEndpoint", [&endpoints](const auto& request, const CallContext&) { return endpoints.Update(request); });
  service.Register<sm::UpdateEndpointWeightsAndCapacitiesInput, sm::UpdateEndpointWeightsAndCapacitiesOutput>(
      "UpdateEndpointWeightsAndCapacities",
      [&endpoints](const auto& request, const CallContext&) { return endpoints.UpdateWeightsAndCapacities(request); });
  service.Register<sm::DeleteEndpointInput, sm::DeleteEndpointResponse>(
      "DeleteEndpoint", [&endpoints](const auto& request, const CallContext&) -> Result<sm::DeleteEndpointResponse> {
        TRYV(endpoints.Delete(request));
        return sm::DeleteEndpointResponse{};
      });
}

}  // namespace sagebrush::api
