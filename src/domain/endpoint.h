#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sagebrush::domain {

// EndpointStatus of the API. Edges:
//   Creating → InService | Failed;  InService → Updating → InService;  any → Deleting → (no row).
// A failed update goes back to InService on what served before, with the failure's reason.
enum class EndpointStatus { kCreating, kInService, kUpdating, kFailed, kDeleting };

std::string_view ToString(EndpointStatus status);
std::optional<EndpointStatus> ParseEndpointStatus(std::string_view text);

// A production variant with all that its instances need: a copy, as its configuration and model may be deleted while
// the endpoint serves.
struct EndpointVariant {
  std::string name, model_name, image, model_data_url;  // model_data_url: s3://…, or "" for none
  std::map<std::string, std::string> environment;
  bool network_isolation = false;
  std::string instance_type;
  int instance_count = 1;      // wanted
  int settled_count = 0;       // of which so many have served; what a scaling that fails goes back to
  double weight = 1;           // takes effect at once
  int64_t start_limit_ms = 0;  // from an instance's start to its first answered ping

  bool operator==(const EndpointVariant&) const = default;
};

// What one configuration asks for. Traffic goes to one fleet at a time.
struct Fleet {
  int generation = 0;
  std::string config_name;
  std::vector<EndpointVariant> variants;

  bool operator==(const Fleet&) const = default;
};

// One instance, from the decision to start it until the driver has forgotten it. A serial number is never used twice in
// an endpoint, so the driver's id follows from it.
struct EndpointInstance {
  // kWanted → kDraining → kLeaving → (no entry); kWanted → kLeaving when it has failed.
  enum class Stage {
    kWanted,    // to be started, or running
    kDraining,  // takes no new requests, and ends those it has
    kLeaving,   // to be stopped and destroyed
  };
  int serial = 0;
  int generation = 0;
  std::string variant;
  int rank = 0;
  Stage stage = Stage::kWanted;
  bool served = false;      // has answered a ping
  int64_t start_ms = 0;     // not before this
  int64_t draining_ms = 0;  // since when
  int failures = 0;         // of those before it in its place that never served, one after the other

  bool operator==(const EndpointInstance&) const = default;
};

// What is recorded of one endpoint: the state that a restart of the engine continues from.
struct EndpointState {
  EndpointStatus status = EndpointStatus::kCreating;
  std::string config_name;       // of the fleet that serves; while the first one comes, of that
  std::optional<Fleet> serving;  // takes the traffic
  std::optional<Fleet> coming;   // takes over once each of its instances has served
  std::vector<EndpointInstance> instances;
  int next_serial = 1, next_generation = 1;
  std::string failure_reason;
  int64_t created_ms = 0, modified_ms = 0;

  bool operator==(const EndpointState&) const = default;
};

// What the instance runs; null when its fleet is gone.
const EndpointVariant* VariantOf(const EndpointState& state, const EndpointInstance& instance);

EndpointState NewEndpointState(Fleet fleet, int64_t now_ms);

// UpdateEndpoint: `fleet` comes beside what serves. kFailedPrecondition unless the endpoint is InService.
Result<void> BeginUpdate(EndpointState& state, Fleet fleet, int64_t now_ms);
// DeleteEndpoint. Deleting a deleting endpoint changes nothing.
void BeginDelete(EndpointState& state, int64_t now_ms);

struct DesiredVariant {
  std::string name;
  std::optional<double> weight;
  std::optional<int> instance_count;
};
// UpdateEndpointWeightsAndCapacities. kFailedPrecondition unless InService; kInvalidArgument for an unknown variant.
Result<void> BeginScaling(EndpointState& state, const std::vector<DesiredVariant>& desired, int64_t now_ms);

std::string ToJson(const EndpointState& state);
Result<EndpointState> EndpointStateFromJson(std::string_view json);

}  // namespace sagebrush::domain
