#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "driver/driver.h"

namespace sagebrush::driver {

// How the instances of a FakeMachine behave.
struct FakeScript {
  bool automatic = false;          // goes through all phases by itself, inside Start; a service, to Training
  std::vector<std::string> lines;  // printed when training begins
  int exit_code = 0;
  int signal = 0;
  std::string failure_reason;   // of an end with exit_code or signal; a default text when empty
  bool ends_on_stop = true;     // false: a program that ignores SIGTERM; only Kill (the grace is over) ends it
  std::string model = "model";  // content of model.tar.gz; empty: no archive
  std::string output;           // of output.tar.gz
  // Of a service: the port of this machine's loopback where the test answers in its place; 0: it does not listen yet.
  uint16_t serves_at = 0;
};

// The machine that fake instances run on: outlives the drivers that look at it, as real instances outlive the engine.
// Time stands still in it: tests move an instance on by hand. Thread-safe.
class FakeMachine {
 public:
  // `directory` holds staged files and artifacts; it must exist.
  explicit FakeMachine(std::filesystem::path directory) : directory_(std::move(directory)) {}

  void SetScript(FakeScript script);  // for instances started from now on
  void SetScripts(std::function<FakeScript(const InstanceSpec&)> choose);
  void Advance(const InstanceId& id);  // to the next phase, at most to Ended
  void AdvanceTo(const InstanceId& id, Phase phase);
  void Print(const InstanceId& id, const std::string& line);
  void ServeAt(const InstanceId& id, uint16_t port);  // as FakeScript::serves_at
  void Lose(const InstanceId& id);                    // the agent is killed
  void Kill(const InstanceId& id);                    // the grace after a stop is over
  // The next calls of Start (all when `times` is negative) fail with this, before or after they took effect.
  void FailStarts(Error error, int times, bool after_effect = false);
  // The next calls of Start succeed and leave nothing: the agent is killed before it has recorded anything.
  void LoseStarts(int times);
  void SetUsage(const InstanceId& id, InstanceUsage usage);  // from now on; before, some constant
  void FailEverything(std::optional<Error> error);           // the machine is out of reach

  int start_calls(const InstanceId& id) const;
  int created(const InstanceId& id) const;  // instances ever brought about under that id
  int stop_calls(const InstanceId& id) const;
  int release_calls(const InstanceId& id) const;
  int64_t inspections() const { return inspections_; }  // calls of Inspect, ever
  std::vector<InstanceId> running() const;              // neither ended nor lost
  std::optional<InstanceSpec> spec(const InstanceId& id) const;

 private:
  friend class FakeDriver;
  struct Instance {
    InstanceSpec spec;
    InstanceStatus status;
    FakeScript script;
    std::vector<LogRecord> log;
    InstanceUsage usage{.cpu_ns = 1'000'000, .memory_bytes = 1 << 20, .disk_bytes = 1 << 20};
    bool stop_requested = false, released = false;
  };
  struct Counters {
    int start_calls = 0, created = 0, stop_calls = 0, release_calls = 0;
    Epoch epoch;
  };

  Instance& Find(const InstanceId& id);
  void Step(Instance& instance);
  void RunAlone(Instance& instance);
  void End(Instance& instance);
  void Tell(const InstanceId& id, News news);
  std::optional<Error> Unreachable() const;

  mutable std::mutex mutex_;
  std::filesystem::path directory_;
  std::map<InstanceId, Instance> instances_;
  std::map<InstanceId, Counters> counters_;
  std::function<FakeScript(const InstanceSpec&)> choose_ = [](const InstanceSpec&) { return FakeScript(); };
  std::optional<Error> start_error_, error_;
  int failing_starts_ = 0, lost_starts_ = 0;
  bool fail_after_effect_ = false;
  std::map<const void*, Listener> listeners_;
  std::mutex telling_;  // held while listeners are called; taken before mutex_
  int64_t now_ms_ = 1'000'000;
  std::atomic<int64_t> inspections_ = 0;
};

// Keeps every obligation of Driver, and is stricter where a real machine would let a mistake pass: a second Start with
// a different spec, a Start whose channels were not staged, and a log offset that no ReadLog gave out are errors.
class FakeDriver final : public Driver {
 public:
  explicit FakeDriver(std::shared_ptr<FakeMachine> machine) : machine_(std::move(machine)) {}
  ~FakeDriver() override;

  std::vector<Requirement> Fingerprint() override;
  Result<void> Start(const InstanceSpec& spec) override;
  Result<std::vector<InstanceStatus>> List() override;
  Result<InstanceStatus> Inspect(const InstanceId& id) override;
  Result<LogChunk> ReadLog(const InstanceId& id, uint64_t offset, size_t limit_bytes) override;
  Result<void> Stop(const InstanceId& id, const StopRequest& request) override;
  Result<void> Release(const InstanceId& id, Epoch epoch) override;
  Result<void> Destroy(const InstanceId& id) override;
  Result<io::UniqueFd> Connect(const InstanceId& id, uint16_t port) override;
  void SetListener(Listener listener) override;
  std::filesystem::path StagingDirectory(const InstanceId& id) const override;
  Result<InstanceUsage> Usage(const InstanceId& id) override;

 private:
  Result<void> Create(const InstanceSpec& spec);

  std::shared_ptr<FakeMachine> machine_;
};

}  // namespace sagebrush::driver
