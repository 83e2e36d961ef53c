#include "control/endpoint_frontend.h"

#include <algorithm>

#include "base/failpoint.h"
#include "control/model_request.h"

namespace sagebrush::control {
namespace {

namespace sm = gen::sagemaker;

constexpr int64_t kStartLimitSeconds = 300;  // unless the variant says otherwise

Error Invalid(std::string message) { return InvalidArgument(std::move(message), "ValidationException"); }

Result<void> CheckDeployment(const std::optional<sm::DeploymentConfig>& config) {
  if (!config) return {};
  return Fail(
      Invalid("DeploymentConfig is not supported by Sagebrush: an update brings up the new fleet beside the old one, "
              "moves all traffic at once, and goes back when the new fleet fails; leave it out."));
}

domain::EndpointVariant VariantOf(const sm::ProductionVariant& production, const sm::CreateModelInput& model) {
  const sm::ContainerDefinition& container = ContainerOf(model);
  domain::EndpointVariant variant;
  variant.name = production.VariantName;
  variant.model_name = model.ModelName;
  variant.image = container.Image.value_or("");
  variant.model_data_url = ModelDataUrlOf(container).value_or("");
  variant.environment = container.Environment;
  variant.network_isolation = model.EnableNetworkIsolation.value_or(false);
  variant.instance_type = production.InstanceType.value_or("");
  variant.instance_count = static_cast<int>(production.InitialInstanceCount.value_or(1));
  variant.weight = production.InitialVariantWeight.value_or(1);
  variant.start_limit_ms = 1000 * (production.ContainerStartupHealthCheckTimeoutInSeconds.value_or(kStartLimitSeconds) +
                                   production.ModelDataDownloadTimeoutInSeconds.value_or(0));
  return variant;
}

sm::ProductionVariantSummary SummaryOf(const domain::EndpointVariant& variant, int64_t resolved_ms) {
  sm::ProductionVariantSummary summary;
  summary.VariantName = variant.name;
  sm::DeployedImage image;
  image.SpecifiedImage = variant.image;
  image.ResolvedImage = variant.image;
  image.ResolutionTime = wire::Timestamp{resolved_ms};
  summary.DeployedImages.push_back(std::move(image));
  summary.CurrentWeight = summary.DesiredWeight = variant.weight;
  summary.CurrentInstanceCount = variant.settled_count;
  summary.DesiredInstanceCount = variant.instance_count;
  return summary;
}

// RetainAllVariantProperties: what UpdateEndpointWeightsAndCapacities has set stays, but for the properties excluded.
void Retain(const domain::Fleet& before, const std::vector<sm::VariantProperty>& excluded, domain::Fleet& fleet) {
  auto retained = [&excluded](std::string_view property) {
    return std::ranges::none_of(excluded, [property](const auto& out) { return out.VariantPropertyType == property; });
  };
  for (domain::EndpointVariant& variant : fleet.variants) {
    auto old = std::ranges::find(before.variants, variant.name, &domain::EndpointVariant::name);
    if (old == before.variants.end()) continue;
    if (retained("DesiredWeight")) variant.weight = old->weight;
    if (retained("DesiredInstanceCount")) variant.instance_count = old->instance_count;
  }
}

// An error of the domain, as the API says it.
Result<void> AsValidation(Result<void> result) {
  if (result) return result;
  return Fail(Invalid(std::move(result).error().message));
}

}  // namespace

EndpointFrontend::EndpointFrontend(EndpointTable& endpoints, EndpointConfigFrontend& configs, ModelFrontend& models,
                                   const Clock& clock, Options options)
    : endpoints_(endpoints), configs_(configs), models_(models), clock_(clock), options_(std::move(options)) {}

Result<domain::Fleet> EndpointFrontend::FleetOf(const std::string& config_name) {
  TRY(EndpointConfigRecord config, configs_.Get(config_name));
  domain::Fleet fleet{.generation = 0, .config_name = config_name, .variants = {}};
  for (const sm::ProductionVariant& production : config.request.ProductionVariants) {
    TRY(ModelRecord model, models_.Get(production.ModelName.value_or("")));
    domain::EndpointVariant& variant = fleet.variants.emplace_back(VariantOf(production, model.request));
    if (options_.most_start_ms > 0) variant.start_limit_ms = std::min(variant.start_limit_ms, options_.most_start_ms);
  }
  return fleet;
}

Result<sm::CreateEndpointOutput> EndpointFrontend::Create(const sm::CreateEndpointInput& request,
                                                          const std::string& invocation_id) {
  TRYV(CheckDeployment(request.DeploymentConfig));
  TRY(domain::Fleet fleet, FleetOf(request.EndpointConfigName));
  EndpointName name(request.EndpointName);
  std::string arn = ArnOf(request.EndpointName);
  TRYV(endpoints_.Insert(name, domain::NewEndpointState(std::move(fleet), clock_.NowMs()), arn, request.Tags,
                         invocation_id));
  options_.wake(name);
  return sm::CreateEndpointOutput{arn};
}

Result<sm::DescribeEndpointOutput> EndpointFrontend::Describe(const sm::DescribeEndpointInput& request) {
  TRY(domain::EndpointState state, endpoints_.Get(EndpointName(request.EndpointName)));
  sm::DescribeEndpointOutput output;
  output.EndpointName = request.EndpointName;
  output.EndpointArn = ArnOf(request.EndpointName);
  output.EndpointConfigName = state.config_name;
  output.EndpointStatus = ToString(state.status);
  if (!state.failure_reason.empty()) output.FailureReason = state.failure_reason;
  output.CreationTime.ms = state.created_ms;
  output.LastModifiedTime.ms = state.modified_ms;
  const std::optional<domain::Fleet>& shown = state.serving ? state.serving : state.coming;
  if (shown) {
    for (const domain::EndpointVariant& variant : shown->variants) {
      output.ProductionVariants.push_back(SummaryOf(variant, state.created_ms));
    }
  }
  return output;
}

Result<sm::ListEndpointsOutput> EndpointFrontend::List(const sm::ListEndpointsInput& request) {
  return endpoints_.List(request, [this](const std::string& name) { return ArnOf(name); });
}

Result<sm::UpdateEndpointOutput> EndpointFrontend::Update(const sm::UpdateEndpointInput& request) {
  TRYV(CheckDeployment(request.DeploymentConfig));
  if (request.RetainDeploymentConfig.value_or(false)) {
    return Fail(
        Invalid("RetainDeploymentConfig is not supported by Sagebrush, which has no deployment configurations: "
                "leave it out."));
  }
  bool retain = request.RetainAllVariantProperties.value_or(false);
  if (!retain && !request.ExcludeRetainedVariantProperties.empty()) {
    return Fail(Invalid("ExcludeRetainedVariantProperties needs RetainAllVariantProperties."));
  }
  EndpointName name(request.EndpointName);
  TRYV(endpoints_.Get(name));
  TRY(domain::Fleet fleet, FleetOf(request.EndpointConfigName));
  TRYV(Change(name, [&](domain::EndpointState& state) -> Result<void> {
    if (retain && state.serving) Retain(*state.serving, request.ExcludeRetainedVariantProperties, fleet);
    return AsValidation(BeginUpdate(state, fleet, clock_.NowMs()));
  }));
  return sm::UpdateEndpointOutput{ArnOf(request.EndpointName)};
}

Result<sm::UpdateEndpointWeightsAndCapacitiesOutput> EndpointFrontend::UpdateWeightsAndCapacities(
    const sm::UpdateEndpointWeightsAndCapacitiesInput& request) {
  std::vector<domain::DesiredVariant> desired;
  for (const sm::DesiredWeightAndCapacity& entry : request.DesiredWeightsAndCapacities) {
    if (entry.ServerlessUpdateConfig) {
      return Fail(Invalid("ServerlessUpdateConfig is not supported by Sagebrush: variants run on instances."));
    }
    domain::DesiredVariant wish{.name = entry.VariantName, .weight = entry.DesiredWeight, .instance_count = {}};
    if (entry.DesiredInstanceCount && *entry.DesiredInstanceCount < 1) {
      return Fail(Invalid("DesiredInstanceCount must be at least 1: delete the endpoint to stop its instances."));
    }
    if (entry.DesiredInstanceCount) wish.instance_count = static_cast<int>(*entry.DesiredInstanceCount);
    desired.push_back(std::move(wish));
  }
  EndpointName name(request.EndpointName);
  TRYV(Change(
      name, [&](domain::EndpointState& state) { return AsValidation(BeginScaling(state, desired, clock_.NowMs())); }));
  return sm::UpdateEndpointWeightsAndCapacitiesOutput{ArnOf(request.EndpointName)};
}

Result<void> EndpointFrontend::Delete(const sm::DeleteEndpointInput& request) {
  return Change(EndpointName(request.EndpointName), [&](domain::EndpointState& state) -> Result<void> {
    BeginDelete(state, clock_.NowMs());
    return {};
  });
}

Result<void> EndpointFrontend::Change(const EndpointName& name, const EndpointTable::Change& change) {
  FAILPOINT("control.endpoint.change.before_commit");
  TRYV(endpoints_.Update(name, change));
  FAILPOINT("control.endpoint.change.after_commit");
  options_.wake(name);
  return {};
}

}  // namespace sagebrush::control
