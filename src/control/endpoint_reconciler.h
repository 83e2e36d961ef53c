#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "base/clock.h"
#include "control/credentials.h"
#include "control/endpoint_metrics.h"
#include "control/endpoint_prober.h"
#include "control/endpoint_table.h"
#include "control/images/environment_cache.h"
#include "control/log_pump.h"
#include "control/work_queue.h"
#include "domain/endpoint_plan.h"
#include "driver/driver.h"
#include "objstore/object_store.h"
#include "routing/invoker.h"
#include "routing/router.h"

namespace sagebrush::control {

// The driver's id of an endpoint's instance. No training job can have a name of this form.
InstanceId EndpointInstanceId(const EndpointName& endpoint, int serial);
// The endpoint of such an id; "" for an instance of a training job.
EndpointName EndpointOf(const InstanceId& id);

// Brings every endpoint to what its state asks for: observes, follows (domain::Follow), commits, and then does what the
// state says: starts, stops and destroys instances, and tells the router who takes requests. One endpoint at a time per
// key, again and again until nothing changes. Wake-ups are hints; a resync looks at every endpoint twice a second.
//
// Crash behaviour: an instance's record is committed before it is started, and goes only after the driver has forgotten
// the instance. Running instances are found again at the next start and take requests after their first ping.
class EndpointReconciler {
 public:
  struct Options {
    std::string region;
    std::filesystem::path engine_socket;
    std::filesystem::path ca_bundle;     // shown to programs: trusts the engine's authority beside the public ones
    std::filesystem::path model_server;  // the program sagebrush-model-server
    objstore::BlobOwner owner{};
    Epoch epoch;
    std::function<std::string(const std::string& endpoint)> arn_of;
    EndpointMetrics* metrics = nullptr;  // may be null; outlives this
  };
  EndpointReconciler(EndpointTable& endpoints, EnvironmentCache& images, objstore::ObjectStore& objects,
                     driver::Driver& driver, LogPump& log_pump, const KeyRing& keys, routing::Router& router,
                     routing::Invoker& invoker, const Clock& clock, Options options);

  // Finds the instances of every endpoint, destroys those that belong to none, and starts.
  Result<void> Start();
  void BeginStop();  // as WorkQueue's
  void Stop();

  void Wake(const EndpointName& endpoint) { queue_.Add(endpoint.value()); }
  void WakeInstance(const InstanceId& id);
  void WakeAll();

  // "/aws/sagemaker/Endpoints/<endpoint>"
  static std::string LogGroup(const EndpointName& endpoint);
  // "<variant>/i-<17 hex digits>"
  static std::string LogStream(const InstanceId& id, const std::string& variant);

 private:
  Result<void> Recover();
  Result<void> Reconcile(const EndpointName& endpoint);
  Result<domain::EndpointActual> Observe(const EndpointName& endpoint, const domain::EndpointState& state);
  Result<domain::ObservedEndpointInstance> ObserveInstance(const InstanceId& id,
                                                           const domain::EndpointInstance& instance);
  // The end of its log, in a length that a reason may have.
  std::string LastWords(const InstanceId& id);
  // The state after what follows now, committed; the same state when nothing does.
  Result<domain::EndpointState> Commit(const EndpointName& endpoint, const domain::EndpointState& seen,
                                       const domain::EndpointActual& actual);
  void TellRouter(const EndpointName& endpoint, const domain::EndpointState& state,
                  const domain::EndpointActual& actual);
  // What the state asks for; whether something has been done that is to be observed at once.
  Result<bool> Act(const EndpointName& endpoint, const domain::EndpointState& state,
                   const domain::EndpointActual& actual);

  // endpoint_effects.cc
  Result<bool> StartInstance(const EndpointName& endpoint, const domain::EndpointState& state,
                             const domain::EndpointInstance& instance);
  bool StartedTooOften(const InstanceId& id);
  Result<driver::InstanceSpec> PrepareInstance(const EndpointName& endpoint, const domain::EndpointVariant& variant,
                                               const InstanceId& id);
  Result<void> AddEnvironment(const std::string& image, driver::InstanceSpec& spec);
  Result<void> StageModel(const std::string& url, driver::InstanceSpec& spec);
  Result<void> StopInstance(const InstanceId& id);
  Result<void> DestroyInstance(const InstanceId& id);
  // Its log and what it uses; `fresh`: it has not run yet.
  void Watch(const EndpointName& endpoint, const domain::EndpointState& state, const domain::EndpointInstance& instance,
             bool fresh);

  EndpointTable& endpoints_;
  EnvironmentCache& images_;
  objstore::ObjectStore& objects_;
  driver::Driver& driver_;
  LogPump& log_pump_;
  const KeyRing& keys_;
  routing::Router& router_;
  routing::Invoker& invoker_;
  const Clock& clock_;
  const Options options_;
  EndpointProber prober_;
  std::mutex mutex_;
  std::map<InstanceId, std::string> start_failures_;  // why they cannot be started; guarded by mutex_
  std::map<InstanceId, int> start_calls_;             // guarded by mutex_
  std::set<InstanceId> stop_sent_;                    // guarded by mutex_
  std::set<InstanceId> destroyed_;                    // until their records are gone; guarded by mutex_
  WorkQueue queue_;
};

}  // namespace sagebrush::control
