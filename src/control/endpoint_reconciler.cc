#include "control/endpoint_reconciler.h"

#include <algorithm>

#include "base/check.h"
#include "base/failpoint.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"
#include "control/instance_spec.h"

namespace sagebrush::control {
namespace {

constexpr int kMostStepsInOneGo = 64;
constexpr size_t kLastLines = 8, kLastWordsBytes = 640;  // of a FailureReason's 1024 characters
// Names of the API have no '_'.
constexpr std::string_view kIdPrefix = "ep_";

using Stage = domain::EndpointInstance::Stage;
using Observed = domain::ObservedEndpointInstance;

}  // namespace

InstanceId EndpointInstanceId(const EndpointName& endpoint, int serial) {
  return InstanceIdOf(JobName(std::string(kIdPrefix) + endpoint.value()), serial, 0);
}

EndpointName EndpointOf(const InstanceId& id) {
  std::string_view text = id.value();
  if (!text.starts_with(kIdPrefix)) return EndpointName();
  text.remove_prefix(kIdPrefix.size());
  return EndpointName(std::string(text.substr(0, text.find('.'))));
}

std::string EndpointReconciler::LogGroup(const EndpointName& endpoint) {
  return "/aws/sagemaker/Endpoints/" + endpoint.value();
}

std::string EndpointReconciler::LogStream(const InstanceId& id, const std::string& variant) {
  constexpr size_t kDigits = 17;
  return variant + "/i-" + HexEncode(Sha256(id.value())).substr(0, kDigits);
}

EndpointReconciler::EndpointReconciler(EndpointTable& endpoints, EnvironmentCache& images,
                                       objstore::ObjectStore& objects, driver::Driver& driver, LogPump& log_pump,
                                       const KeyRing& keys, routing::Router& router, routing::Invoker& invoker,
                                       const Clock& clock, Options options)
    : endpoints_(endpoints),
      images_(images),
      objects_(objects),
      driver_(driver),
      log_pump_(log_pump),
      keys_(keys),
      router_(router),
      invoker_(invoker),
      clock_(clock),
      options_(std::move(options)),
      prober_(driver, router, [this](const InstanceId& id) { Wake(EndpointOf(id)); }),
      queue_({.name = "endpoints",
              .threads = 4,
              .resync_ms = 500,
              .work =
                  [this](const std::string& key) {
                    Result<void> done = Reconcile(EndpointName(key));
                    if (done || queue_.stopping()) return;
                    Log(LogLevel::kError, "reconcile_failed", {{"endpoint", key}, {"error", done.error().message}});
                  },
              .resync =
                  [this] {
                    std::vector<std::string> keys;
                    Result<std::vector<EndpointName>> all = endpoints_.All();
                    if (all) {
                      for (const EndpointName& endpoint : *all) keys.push_back(endpoint.value());
                    }
                    return keys;
                  }}) {}

Result<void> EndpointReconciler::Start() {
  TRYV(Recover());
  prober_.Start();
  queue_.Start();
  WakeAll();
  return {};
}

void EndpointReconciler::BeginStop() {
  queue_.BeginStop();
  prober_.BeginStop();
}

void EndpointReconciler::Stop() {
  queue_.Stop();
  prober_.Stop();
}

Result<void> EndpointReconciler::Recover() {
  TRY(std::vector<EndpointName> all, endpoints_.All());
  std::set<InstanceId> ours;
  for (const EndpointName& endpoint : all) {
    TRY(domain::EndpointState state, endpoints_.Get(endpoint));
    for (const domain::EndpointInstance& instance : state.instances) {
      ours.insert(EndpointInstanceId(endpoint, instance.serial));
      Watch(endpoint, state, instance, false);
    }
    TellRouter(endpoint, state, {});  // that there is such an endpoint, before the first request asks
  }
  TRY(std::vector<driver::InstanceStatus> found, driver_.List());
  for (const driver::InstanceStatus& instance : found) {
    if (EndpointOf(instance.id).empty() || ours.contains(instance.id)) continue;
    Log(LogLevel::kWarning, "orphan_destroyed", {{"instance", instance.id.value()}});
    TRYV(driver_.Destroy(instance.id));
  }
  Log(LogLevel::kInfo, "endpoints_recovered", {{"endpoints", all.size()}, {"instances", ours.size()}});
  return {};
}

void EndpointReconciler::WakeInstance(const InstanceId& id) { Wake(EndpointOf(id)); }

void EndpointReconciler::WakeAll() {
  Result<std::vector<EndpointName>> all = endpoints_.All();
  if (!all) return;
  for (const EndpointName& endpoint : *all) Wake(endpoint);
}

Result<void> EndpointReconciler::Reconcile(const EndpointName& endpoint) {
  for (int step = 0; step < kMostStepsInOneGo; ++step) {
    if (queue_.stopping()) return {};
    Result<domain::EndpointState> loaded = endpoints_.Get(endpoint);
    if (!loaded && loaded.error().kind == ErrorKind::kNotFound) return {};
    if (!loaded) return Fail(std::move(loaded).error());
    TRY(domain::EndpointActual actual, Observe(endpoint, *loaded));
    TRY(domain::EndpointState state, Commit(endpoint, *loaded, actual));
    TellRouter(endpoint, state, actual);
    if (state != *loaded) continue;
    if (domain::IsOver(state)) {
      FAILPOINT("control.endpoint.remove.before_commit");
      TRYV(endpoints_.Remove(endpoint, options_.arn_of(endpoint.value())));
      FAILPOINT("control.endpoint.remove.after_commit");
      if (options_.metrics != nullptr) options_.metrics->ForgetEndpoint(endpoint.value());
      Log(LogLevel::kInfo, "endpoint_deleted", {{"endpoint", endpoint.value()}});
      return {};
    }
    TRY(bool again, Act(endpoint, state, actual));
    if (!again) return {};
  }
  BUG_IF(true);  // a state that never settles
  return {};
}

Result<domain::EndpointActual> EndpointReconciler::Observe(const EndpointName& endpoint,
                                                           const domain::EndpointState& state) {
  domain::EndpointActual actual;
  for (const domain::EndpointInstance& instance : state.instances) {
    InstanceId id = EndpointInstanceId(endpoint, instance.serial);
    TRY(Observed seen, ObserveInstance(id, instance));
    const domain::EndpointVariant* variant = domain::VariantOf(state, instance);
    bool overdue = variant != nullptr && domain::IsOverdue(*variant, instance, seen, clock_.NowMs());
    if (overdue) seen.failure_reason = LastWords(id);
    actual[instance.serial] = std::move(seen);
  }
  return actual;
}

Result<Observed> EndpointReconciler::ObserveInstance(const InstanceId& id, const domain::EndpointInstance& instance) {
  Observed seen;
  Result<driver::InstanceStatus> status = driver_.Inspect(id);
  if (!status && status.error().kind != ErrorKind::kNotFound) return Fail(std::move(status).error());
  if (!status) {
    std::lock_guard lock(mutex_);
    auto failure = start_failures_.find(id);
    bool wanted = instance.stage == Stage::kWanted;
    if (wanted && failure != start_failures_.end()) seen.failure_reason = failure->second;
    // One that leaves and is unknown may have files all the same, of a start that was cut short.
    bool gone = wanted ? failure != start_failures_.end() : !destroyed_.contains(id);
    if (gone) seen.phase = Observed::Phase::kGone;
    return seen;
  }
  seen.started_ms = status->started_ms;
  seen.idle = router_.outstanding(id) == 0;
  if (status->phase >= driver::Phase::kUploading) {
    seen.phase = Observed::Phase::kGone;
    seen.failure_reason = status->phase == driver::Phase::kLost
                              ? "InternalServerError: the instance was lost: its agent was killed or the machine "
                                "restarted."
                              : status->failure_reason;
    return seen;
  }
  seen.phase = Observed::Phase::kRunning;
  seen.preparing = status->phase < driver::Phase::kTraining;
  if (status->phase == driver::Phase::kTraining) prober_.Watch(id);
  seen.healthy = prober_.healthy(id);
  seen.unwell = prober_.unwell(id);
  seen.silent = prober_.silent(id);
  return seen;
}

std::string EndpointReconciler::LastWords(const InstanceId& id) {
  std::string words;
  for (const std::string& line : log_pump_.LastLines(id, kLastLines)) words += (words.empty() ? "" : "\n") + line;
  if (words.size() <= kLastWordsBytes) return words;
  return "…" + ReplaceInvalidUtf8(words.substr(words.size() - kLastWordsBytes));
}

Result<domain::EndpointState> EndpointReconciler::Commit(const EndpointName& endpoint,
                                                         const domain::EndpointState& seen,
                                                         const domain::EndpointActual& actual) {
  domain::EndpointState next = domain::Follow(seen, actual, clock_.NowMs());
  if (next == seen) return next;
  // First, so that whoever reads InService finds the endpoint answering.
  TellRouter(endpoint, next, actual);
  FAILPOINT("control.endpoint.before_commit");
  TRY(domain::EndpointState written, endpoints_.Update(endpoint, [&](domain::EndpointState& state) -> Result<void> {
    // A request that came in between is looked at first.
    if (state == seen) state = next;
    return {};
  }));
  FAILPOINT("control.endpoint.after_commit");
  {
    std::lock_guard lock(mutex_);
    for (const domain::EndpointInstance& instance : seen.instances) {
      auto kept = std::ranges::find(written.instances, instance.serial, &domain::EndpointInstance::serial);
      if (kept == written.instances.end()) destroyed_.erase(EndpointInstanceId(endpoint, instance.serial));
    }
  }
  if (written.status != seen.status) {
    Log(LogLevel::kInfo, "endpoint_status",
        {{"endpoint", endpoint.value()},
         {"status", ToString(written.status)},
         {"config", written.config_name},
         {"reason", written.failure_reason}});
  }
  return written;
}

void EndpointReconciler::TellRouter(const EndpointName& endpoint, const domain::EndpointState& state,
                                    const domain::EndpointActual& actual) {
  if (!state.serving || state.status == domain::EndpointStatus::kDeleting) return router_.Remove(endpoint.value());
  std::vector<routing::Router::Variant> variants;
  for (const domain::EndpointVariant& variant : state.serving->variants) {
    routing::Router::Variant route{.name = variant.name, .weight = variant.weight, .instances = {}};
    for (const domain::EndpointInstance& instance : state.instances) {
      auto seen = actual.find(instance.serial);
      bool takes = instance.stage == Stage::kWanted && instance.generation == state.serving->generation &&
                   instance.variant == variant.name && seen != actual.end() &&
                   seen->second.phase == Observed::Phase::kRunning && seen->second.healthy;
      if (takes) route.instances.push_back(EndpointInstanceId(endpoint, instance.serial));
    }
    variants.push_back(std::move(route));
  }
  router_.Set(endpoint.value(), variants);
}

Result<bool> EndpointReconciler::Act(const EndpointName& endpoint, const domain::EndpointState& state,
                                     const domain::EndpointActual& actual) {
  bool again = false;
  int64_t now_ms = clock_.NowMs();
  for (const domain::EndpointInstance& instance : state.instances) {
    InstanceId id = EndpointInstanceId(endpoint, instance.serial);
    const Observed& seen = actual.at(instance.serial);
    Observed::Phase phase = seen.phase;
    // Whoever unpacks a model has nothing to end in good order, and may have long to go.
    bool over = phase == Observed::Phase::kGone || (phase == Observed::Phase::kRunning && seen.preparing);
    if (instance.stage == Stage::kWanted && phase == Observed::Phase::kAbsent) {
      if (instance.start_ms > now_ms) {
        queue_.AddAfter(endpoint.value(), instance.start_ms - now_ms);
        continue;
      }
      TRY(bool started, StartInstance(endpoint, state, instance));
      again |= started;
    } else if (instance.stage == Stage::kLeaving && over) {
      TRYV(DestroyInstance(id));
      again = true;
    } else if (instance.stage == Stage::kLeaving && phase == Observed::Phase::kRunning) {
      TRYV(StopInstance(id));
    }
  }
  return again;
}

}  // namespace sagebrush::control
