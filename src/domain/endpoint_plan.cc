#include "domain/endpoint_plan.h"

#include <algorithm>

namespace sagebrush::domain {
namespace {

using Stage = EndpointInstance::Stage;
using Phase = ObservedEndpointInstance::Phase;

constexpr int64_t kFirstPauseMs = 1000, kLongestPauseMs = 30'000;

// How long to wait before an instance takes the place of one that failed.
int64_t PauseMs(int failures) {
  if (failures == 0) return 0;
  return std::min(kLongestPauseMs, kFirstPauseMs << std::min(failures - 1, 10));
}

// A fleet on its way from the state to the next one.
class Follower {
 public:
  Follower(EndpointState state, const EndpointActual& actual, int64_t now_ms)
      : state_(std::move(state)), actual_(actual), now_ms_(now_ms) {}

  EndpointState Run() && {
    for (EndpointInstance& instance : state_.instances) Look(instance);
    std::erase_if(state_.instances, [this](const EndpointInstance& instance) {
      return instance.stage == Stage::kLeaving && Seen(instance).phase == Phase::kAbsent;
    });
    if (state_.status == EndpointStatus::kDeleting || state_.status == EndpointStatus::kFailed) {
      for (EndpointInstance& instance : state_.instances) instance.stage = Stage::kLeaving;
      return std::move(state_);
    }
    if (state_.serving) Serve();
    if (state_.coming) Come();
    if (state_.serving && !state_.coming && state_.status == EndpointStatus::kUpdating) Settle();
    return std::move(state_);
  }

 private:
  ObservedEndpointInstance Seen(const EndpointInstance& instance) const {
    auto found = actual_.find(instance.serial);
    return found == actual_.end() ? ObservedEndpointInstance{} : found->second;
  }

  void Look(EndpointInstance& instance) {
    ObservedEndpointInstance seen = Seen(instance);
    if (seen.healthy) instance.served = true;
    bool drained = seen.idle || now_ms_ - instance.draining_ms > kDrainLimitMs || seen.phase != Phase::kRunning;
    if (instance.stage == Stage::kDraining && drained) instance.stage = Stage::kLeaving;
  }

  EndpointInstance* InPlace(const Fleet& fleet, const EndpointVariant& variant, int rank) {
    auto found = std::ranges::find_if(state_.instances, [&](const EndpointInstance& instance) {
      return instance.stage == Stage::kWanted && instance.generation == fleet.generation &&
             instance.variant == variant.name && instance.rank == rank;
    });
    return found == state_.instances.end() ? nullptr : &*found;
  }

  void Want(const Fleet& fleet, const EndpointVariant& variant, int rank, int failures) {
    state_.instances.push_back({.serial = state_.next_serial++,
                                .generation = fleet.generation,
                                .variant = variant.name,
                                .rank = rank,
                                .start_ms = now_ms_ + PauseMs(failures),
                                .failures = failures});
  }

  // Why the instance cannot go on; "" when it can.
  std::string Failure(const EndpointVariant& variant, const EndpointInstance& instance) const {
    ObservedEndpointInstance seen = Seen(instance);
    if (seen.phase == Phase::kGone) return seen.failure_reason.empty() ? "it ended" : seen.failure_reason;
    if (seen.silent) return "it answers neither pings nor requests";
    if (!IsOverdue(variant, instance, seen, now_ms_)) return "";
    return "it did not pass the ping health check within " + std::to_string(variant.start_limit_ms / 1000) +
           " s of its start; look at its log in /aws/sagemaker/Endpoints. " +
           (seen.failure_reason.empty() ? "It has printed nothing." : "Its last words: " + seen.failure_reason);
  }

  static std::string Told(const EndpointVariant& variant, const std::string& failure) {
    return "The primary container for production variant " + variant.name + " could not be started: " + failure;
  }

  // What serves is kept at its numbers: an instance that fails is replaced, at longer and longer intervals.
  void Serve() {
    Fleet& fleet = *state_.serving;
    for (EndpointVariant& variant : fleet.variants) {
      for (int rank = 0; rank < variant.instance_count; ++rank) {
        EndpointInstance* instance = InPlace(fleet, variant, rank);
        if (instance == nullptr) {
          Want(fleet, variant, rank, 0);
          continue;
        }
        std::string failure = Failure(variant, *instance);
        if (failure.empty()) continue;
        bool is_new = !instance->served && rank >= variant.settled_count;
        int failures = instance->served ? 0 : instance->failures + 1;
        instance->stage = Stage::kLeaving;
        if (is_new && state_.status == EndpointStatus::kUpdating) {
          variant.instance_count = variant.settled_count;
          state_.failure_reason = Told(variant, failure);
          break;
        }
        Want(fleet, variant, rank, failures);
      }
      for (EndpointInstance& instance : state_.instances) {
        bool surplus = instance.generation == fleet.generation && instance.variant == variant.name &&
                       instance.rank >= variant.instance_count;
        if (surplus) Drain(instance);
      }
    }
  }

  void Drain(EndpointInstance& instance) const {
    if (instance.stage != Stage::kWanted) return;
    instance.stage = Stage::kDraining;
    instance.draining_ms = now_ms_;
  }

  // A fleet takes over as a whole, or fails as a whole.
  void Come() {
    Fleet& fleet = *state_.coming;
    bool all_serve = true;
    std::string failure;
    for (const EndpointVariant& variant : fleet.variants) {
      for (int rank = 0; rank < variant.instance_count; ++rank) {
        EndpointInstance* instance = InPlace(fleet, variant, rank);
        if (instance == nullptr) Want(fleet, variant, rank, 0);
        if (instance == nullptr || !Seen(*instance).healthy) all_serve = false;
        std::string own = instance == nullptr ? "" : Failure(variant, *instance);
        if (failure.empty() && !own.empty()) failure = Told(variant, own);
      }
    }
    if (!failure.empty()) return Refuse(failure);
    if (!all_serve) return;
    int generation = fleet.generation;
    for (EndpointInstance& instance : state_.instances) {
      if (instance.generation != generation) Drain(instance);
    }
    for (EndpointVariant& variant : fleet.variants) variant.settled_count = variant.instance_count;
    state_.config_name = fleet.config_name;
    state_.serving = std::move(state_.coming);
    state_.coming.reset();
    InService("");
  }

  void Refuse(const std::string& failure) {
    for (EndpointInstance& instance : state_.instances) {
      if (instance.generation == state_.coming->generation) instance.stage = Stage::kLeaving;
    }
    if (state_.serving) {
      state_.coming.reset();
      return InService(failure);
    }
    // What failed is kept, for those who describe the endpoint.
    state_.status = EndpointStatus::kFailed;
    state_.failure_reason = failure;
    state_.modified_ms = now_ms_;
  }

  // Whether a change of numbers has come to its end.
  void Settle() {
    Fleet& fleet = *state_.serving;
    for (const EndpointVariant& variant : fleet.variants) {
      for (int rank = 0; rank < variant.instance_count; ++rank) {
        EndpointInstance* instance = InPlace(fleet, variant, rank);
        if (instance == nullptr || !instance->served) return;
      }
    }
    for (EndpointVariant& variant : fleet.variants) variant.settled_count = variant.instance_count;
    InService(state_.failure_reason);
  }

  void InService(std::string failure) {
    state_.status = EndpointStatus::kInService;
    state_.failure_reason = std::move(failure);
    state_.modified_ms = now_ms_;
  }

  EndpointState state_;
  const EndpointActual& actual_;
  const int64_t now_ms_;
};

}  // namespace

bool IsOverdue(const EndpointVariant& variant, const EndpointInstance& instance, const ObservedEndpointInstance& seen,
               int64_t now_ms) {
  bool starting = seen.phase == Phase::kRunning && seen.started_ms != 0 && !instance.served && !seen.healthy;
  return starting && (seen.preparing || seen.unwell) && now_ms - seen.started_ms > variant.start_limit_ms;
}

EndpointState Follow(EndpointState state, const EndpointActual& actual, int64_t now_ms) {
  return Follower(std::move(state), actual, now_ms).Run();
}

bool IsOver(const EndpointState& state) { return state.status == EndpointStatus::kDeleting && state.instances.empty(); }

}  // namespace sagebrush::domain
