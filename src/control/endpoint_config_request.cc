#include "control/endpoint_config_request.h"

#include <set>

#include "control/refusals.h"
#include "domain/instance_type.h"

namespace sagebrush::control {
namespace {

namespace sm = gen::sagemaker;

Result<void> CheckRouting(const std::string& field, const sm::ProductionVariantRoutingConfig& routing) {
  if (routing.RoutingStrategy != "LEAST_OUTSTANDING_REQUESTS") {
    return Fail(NotHonoured(field + ".RoutingStrategy " + routing.RoutingStrategy,
                            "requests go to the instance with the fewest outstanding; use "
                            "LEAST_OUTSTANDING_REQUESTS or leave it out"));
  }
  if (routing.PrefixAwareRoutingConfig) return Fail(NotHonoured(field + ".PrefixAwareRoutingConfig"));
  return {};
}

Result<void> CheckUnsupported(const std::string& field, const sm::ProductionVariant& variant) {
  if (variant.ServerlessConfig) {
    return Fail(NotHonoured(field + ".ServerlessConfig", "name an InstanceType and an InitialInstanceCount instead"));
  }
  if (variant.AcceleratorType) return Fail(NotHonoured(field + ".AcceleratorType"));
  if (!variant.InstancePools.empty()) return Fail(NotHonoured(field + ".InstancePools", "name one InstanceType"));
  if (variant.VariantInstanceProvisionTimeoutInSeconds) {
    return Fail(NotHonoured(field + ".VariantInstanceProvisionTimeoutInSeconds"));
  }
  if (variant.CoreDumpConfig) return Fail(NotHonoured(field + ".CoreDumpConfig"));
  if (variant.EnableSSMAccess.value_or(false)) return Fail(NotHonoured(field + ".EnableSSMAccess"));
  if (variant.ManagedInstanceScaling) {
    return Fail(NotHonoured(field + ".ManagedInstanceScaling",
                            "set InitialInstanceCount, and UpdateEndpointWeightsAndCapacities later on"));
  }
  if (variant.CapacityReservationConfig) return Fail(NotHonoured(field + ".CapacityReservationConfig"));
  if (!variant.AcceleratorPartitionLayouts.empty()) return Fail(NotHonoured(field + ".AcceleratorPartitionLayouts"));
  if (variant.RoutingConfig) return CheckRouting(field + ".RoutingConfig", *variant.RoutingConfig);
  return {};
}

Result<void> CheckVariant(const std::string& field, const sm::ProductionVariant& variant) {
  TRYV(CheckUnsupported(field, variant));
  if (!variant.ModelName) {
    return Fail(Invalid(field + ".ModelName is required: Sagebrush has no inference components."));
  }
  if (!variant.InstanceType) return Fail(Invalid(field + ".InstanceType is required."));
  if (variant.InitialInstanceCount.value_or(0) < 1) {
    return Fail(Invalid(field + ".InitialInstanceCount is required, and at least 1."));
  }
  Result<domain::InstanceType> type = domain::ParseCpuInstanceType(*variant.InstanceType);
  if (!type) return Fail(Invalid(field + ".InstanceType: " + type.error().message));
  return {};
}

Result<void> CheckVariants(const sm::CreateEndpointConfigInput& request) {
  std::set<std::string> names;
  double weights = 0;
  int number = 1;
  for (const sm::ProductionVariant& variant : request.ProductionVariants) {
    std::string field = "ProductionVariants." + std::to_string(number++) + ".member";
    TRYV(CheckVariant(field, variant));
    if (!names.insert(variant.VariantName).second) {
      return Fail(Invalid("ProductionVariants names variant '" + variant.VariantName + "' twice."));
    }
    weights += variant.InitialVariantWeight.value_or(1);
  }
  if (weights > 0) return {};
  return Fail(Invalid("InitialVariantWeight is 0 for every variant: no request could be routed. Give one a weight."));
}

}  // namespace

Result<void> CheckEndpointConfigRequest(const sm::CreateEndpointConfigInput& request) {
  if (!request.ShadowProductionVariants.empty()) return Fail(NotHonoured("ShadowProductionVariants"));
  if (request.AsyncInferenceConfig) return Fail(NotHonoured("AsyncInferenceConfig"));
  // EnableCapture is true when it is left out.
  if (request.DataCaptureConfig && request.DataCaptureConfig->EnableCapture.value_or(true)) {
    return Fail(NotHonoured("DataCaptureConfig.EnableCapture", "set it to false or leave DataCaptureConfig out"));
  }
  if (request.ExplainerConfig) return Fail(NotHonoured("ExplainerConfig"));
  if (request.EnableNetworkIsolation.value_or(false)) {
    return Fail(NotHonoured("EnableNetworkIsolation", "set it on the model, with CreateModel"));
  }
  if (request.MetricsConfig) return Fail(NotHonoured("MetricsConfig"));
  if (request.CrossRegionTrafficConfig) return Fail(NotHonoured("CrossRegionTrafficConfig"));
  return CheckVariants(request);
}

}  // namespace sagebrush::control
