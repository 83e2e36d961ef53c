#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "control/work_queue.h"
#include "driver/driver.h"
#include "routing/router.h"

namespace sagebrush::control {

// Asks the instances of endpoints "GET /ping": often until the first answer, then now and then. Kept in memory; a new
// one knows nothing and asks. Thread-safe; calls do not block. Threads: its own work queue, keyed by instance.
class EndpointProber {
 public:
  // `on_change` is told of instances whose health has changed.
  EndpointProber(driver::Driver& driver, const routing::Router& router,
                 std::function<void(const InstanceId&)> on_change);

  void Start() { queue_.Start(); }
  void BeginStop() { queue_.BeginStop(); }  // as WorkQueue's
  void Stop() { queue_.Stop(); }

  // Begins to ask; nothing when it does already.
  void Watch(const InstanceId& id);
  void Forget(const InstanceId& id);

  bool healthy(const InstanceId& id) const;
  // The last ping was not answered with 200.
  bool unwell(const InstanceId& id) const;
  // It was healthy, and for kSilenceMs has answered neither a ping nor a request.
  bool silent(const InstanceId& id) const;

  static constexpr int64_t kSilenceMs = 30'000;

 private:
  struct Subject {
    int64_t since_ms = 0;  // monotonic, as all of these
    int64_t pong_ms = 0;   // the last good answer; 0: none yet
    int failures = 0;      // in a row
  };
  void Probe(const InstanceId& id);
  bool Ping(const InstanceId& id) const;
  static bool Healthy(const Subject& subject);
  static int64_t PauseMs(const Subject& subject, int64_t now_ms);

  driver::Driver& driver_;
  const routing::Router& router_;
  const std::function<void(const InstanceId&)> on_change_;
  mutable std::mutex mutex_;
  std::map<InstanceId, Subject> subjects_;  // guarded by mutex_
  WorkQueue queue_;
};

}  // namespace sagebrush::control
