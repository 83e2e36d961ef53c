#include "domain/endpoint.h"

#include <algorithm>
#include <array>

namespace sagebrush::domain {
namespace {

constexpr std::array<std::string_view, 5> kStatuses = {"Creating", "InService", "Updating", "Failed", "Deleting"};

Result<void> CheckInService(const EndpointState& state) {
  if (state.status == EndpointStatus::kInService) return {};
  return Fail(Error(ErrorKind::kFailedPrecondition,
                    "Cannot update in-progress endpoint: its status is " + std::string(ToString(state.status)) + "."));
}

}  // namespace

std::string_view ToString(EndpointStatus status) { return kStatuses.at(static_cast<size_t>(status)); }

std::optional<EndpointStatus> ParseEndpointStatus(std::string_view text) {
  const auto* found = std::ranges::find(kStatuses, text);
  if (found == kStatuses.end()) return std::nullopt;
  return static_cast<EndpointStatus>(found - kStatuses.begin());
}

const EndpointVariant* VariantOf(const EndpointState& state, const EndpointInstance& instance) {
  for (const std::optional<Fleet>* fleet : {&state.serving, &state.coming}) {
    if (!*fleet || (*fleet)->generation != instance.generation) continue;
    auto found = std::ranges::find((*fleet)->variants, instance.variant, &EndpointVariant::name);
    if (found != (*fleet)->variants.end()) return &*found;
  }
  return nullptr;
}

EndpointState NewEndpointState(Fleet fleet, int64_t now_ms) {
  EndpointState state;
  state.config_name = fleet.config_name;
  fleet.generation = state.next_generation++;
  state.coming = std::move(fleet);
  state.created_ms = state.modified_ms = now_ms;
  return state;
}

Result<void> BeginUpdate(EndpointState& state, Fleet fleet, int64_t now_ms) {
  TRYV(CheckInService(state));
  fleet.generation = state.next_generation++;
  state.coming = std::move(fleet);
  state.status = EndpointStatus::kUpdating;
  state.failure_reason.clear();
  state.modified_ms = now_ms;
  return {};
}

void BeginDelete(EndpointState& state, int64_t now_ms) {
  if (state.status == EndpointStatus::kDeleting) return;
  state.status = EndpointStatus::kDeleting;
  state.modified_ms = now_ms;
}

Result<void> BeginScaling(EndpointState& state, const std::vector<DesiredVariant>& desired, int64_t now_ms) {
  TRYV(CheckInService(state));
  std::vector<EndpointVariant> variants = state.serving->variants;
  for (const DesiredVariant& wish : desired) {
    auto variant = std::ranges::find(variants, wish.name, &EndpointVariant::name);
    if (variant == variants.end()) {
      return Fail(InvalidArgument("The endpoint has no variant '" + wish.name + "'."));
    }
    if (wish.weight) variant->weight = *wish.weight;
    if (wish.instance_count) variant->instance_count = *wish.instance_count;
  }
  state.serving->variants = std::move(variants);
  state.status = EndpointStatus::kUpdating;
  state.failure_reason.clear();
  state.modified_ms = now_ms;
  return {};
}

}  // namespace sagebrush::domain
