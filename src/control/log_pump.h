#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "control/work_queue.h"
#include "driver/driver.h"
#include "logstore/log_store.h"

namespace sagebrush::control {

inline constexpr char kTrainingJobLogGroup[] = "/aws/sagemaker/TrainingJobs";

// Carries what instances print from their spools into the log store, each line once: the store records in one commit
// the lines and the offset they were read up to, so that a crash between reading and storing repeats or loses nothing.
// Threads: its own work queue, keyed by instance.
class LogPump {
 public:
  LogPump(driver::Driver& driver, logstore::LogStore& logs);

  // Told after each look at an instance's spool, with what its stream now records of it; an error is Drain's. One call
  // at a time for an instance. Set it before Start.
  using Follower = std::function<Result<void>(const InstanceId&, uint64_t recorded)>;
  void SetFollower(Follower follower) { follower_ = std::move(follower); }

  void Start() { queue_.Start(); }
  void BeginStop() { queue_.BeginStop(); }  // as WorkQueue's
  void Stop() { queue_.Stop(); }

  // Names the group and the stream that the instance's lines go to. Call before the instance starts, or when a restart
  // finds it. The attempts of a job append to one stream, in order; drain an attempt's before the next one starts.
  void Watch(const InstanceId& id, std::string stream, int attempt = 1, std::string group = kTrainingJobLogGroup);
  void Forget(const InstanceId& id);
  // A hint that the instance has printed something.
  void Wake(const InstanceId& id);
  // Everything that the spool holds is in the store, and with the follower, when this returns. Blocks. kCancelled when
  // the pump is stopped before.
  Result<void> Drain(const InstanceId& id);

  // The last lines that the instance has printed, in order, as far as they are stored: hints bring them within moments.
  // Empty when there are none, or nobody watches it. Blocks.
  std::vector<std::string> LastLines(const InstanceId& id, size_t count);

  // Lines of the engine's own, before the stream's instance has started; nothing when it has. Blocks.
  Result<void> Say(const std::string& stream, std::vector<std::string> lines, int64_t now_ms,
                   const std::string& group = kTrainingJobLogGroup);

  // "<job>/algo-<rank + 1>-<epoch seconds>": one per host and job, the same after a restart.
  static std::string StreamName(const JobName& job, int rank, int64_t job_created_ms);

 private:
  struct Target {
    std::string group, stream;
    uint64_t base = 0;                 // what the stream records of a spool's offset n is base + n
    std::optional<uint64_t> recorded;  // as it was after the last pumping; the store knows better
  };
  struct Pumped {
    uint64_t recorded = 0;  // how far the stream has come
    bool more = false;      // the spool may hold more
  };
  Result<Pumped> Pump(const InstanceId& id, const Target& target);
  // A look at the spool that takes as much as fits into one turn: whether it may hold more.
  Result<bool> Advance(const InstanceId& id);

  driver::Driver& driver_;
  logstore::LogStore& logs_;
  Follower follower_;
  std::mutex mutex_;
  std::map<std::string, Target> streams_;                            // by instance; guarded by mutex_
  std::map<std::string, std::shared_ptr<std::mutex>> pump_mutexes_;  // one pumper per instance; guarded by mutex_
  WorkQueue queue_;
};

}  // namespace sagebrush::control
