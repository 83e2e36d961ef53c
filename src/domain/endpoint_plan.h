#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "domain/endpoint.h"

namespace sagebrush::domain {

// One instance as the driver and the prober see it now.
struct ObservedEndpointInstance {
  // kGone: it has ended, or cannot be started.
  enum class Phase { kAbsent, kRunning, kGone };
  Phase phase = Phase::kAbsent;
  int64_t started_ms = 0;      // of one that runs: since when; 0: it is only just beginning
  bool healthy = false;        // answers pings
  bool silent = false;         // has served, and has given no sign of life for long
  bool idle = true;            // no request is under way to it
  std::string failure_reason;  // of one that is gone: its last words
};

using EndpointActual = std::map<int, ObservedEndpointInstance>;  // by serial

inline constexpr int64_t kDrainLimitMs = 120'000;  // for requests under way when a fleet or an instance is taken away

// The state that follows from what is true now. Pure, and called again and again until nothing changes; each change is
// committed before its effects. What is to be done outside follows from the state alone: wanted instances are started,
// leaving ones are stopped, destroyed and then forgotten, healthy ones of the serving fleet take the traffic.
EndpointState Follow(EndpointState state, const EndpointActual& actual, int64_t now_ms);

// Of a deleting endpoint whose last instance is forgotten: its row may go.
bool IsOver(const EndpointState& state);

}  // namespace sagebrush::domain
