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
  bool preparing = false;      // of one that runs: its server has not been started yet
  bool healthy = false;        // answers pings
  bool unwell = false;         // has been asked, and did not answer as it should
  bool silent = false;         // has served, and has given no sign of life for long
  bool idle = true;            // no request is under way to it
  std::string failure_reason;  // of one that is gone, or overdue: its last words
};

using EndpointActual = std::map<int, ObservedEndpointInstance>;  // by serial

// Whether it runs, and its first answer to a ping has not come within the variant's time. One that nobody has asked
// yet, because there was no engine for a while, is given the chance to answer.
bool IsOverdue(const EndpointVariant& variant, const EndpointInstance& instance, const ObservedEndpointInstance& seen,
               int64_t now_ms);

inline constexpr int64_t kDrainLimitMs = 120'000;  // for requests under way when a fleet or an instance is taken away

// The state that follows from what is true now. Pure, and called again and again until nothing changes; each change is
// committed before its effects. What is to be done outside follows from the state alone: wanted instances are started,
// leaving ones are stopped, destroyed and then forgotten, healthy ones of the serving fleet take the traffic.
EndpointState Follow(EndpointState state, const EndpointActual& actual, int64_t now_ms);

// Of a deleting endpoint whose last instance is forgotten: its row may go.
bool IsOver(const EndpointState& state);

}  // namespace sagebrush::domain
