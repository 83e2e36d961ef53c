#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "driver/driver.h"
#include "driver/sandbox/instance_files.h"

namespace sagebrush::driver {

// Runs instances on this machine, without a container engine: one sagebrush-agent process each, which outlives this
// one. All state is in the instances' directories (instance_files.h), so that a new driver on the same directory finds
// everything; this object holds only a socket for hints. Works as root and, with fewer limits, as an ordinary user.
//
// A directory that holds a spec but neither a status nor a locked lock is an instance whose Start was cut short: it
// was never started, and Start takes it from there. Destroy first takes the directory out of sight by a rename; what a
// crash leaves of it is removed by the next driver.
class SandboxDriver final : public Driver {
 public:
  struct Options {
    std::filesystem::path instances_directory;  // DATA/instances; DATA is hidden from instances and holds hints.sock
    std::filesystem::path agent_binary;
    uid_t uid = 100'000;  // instances of a root engine use the ids uid … uid + 65535 of the machine
    gid_t gid = 100'000;
    std::vector<std::filesystem::path> hidden;  // further directories that no instance may see
  };
  // Makes the directories and binds the socket.
  static Result<std::unique_ptr<SandboxDriver>> Open(Options options);
  ~SandboxDriver() override;

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
  explicit SandboxDriver(Options options) : options_(std::move(options)) {}
  Result<void> BindHints();
  void Listen();
  void RemoveTrash();
  InstanceFiles FilesOf(const InstanceId& id) const;
  Result<void> CheckEpoch(const InstanceFiles& files, Epoch epoch);
  Result<void> LaunchAgent(const InstanceFiles& files);
  Result<InstanceStatus> Read(const InstanceFiles& files);
  std::shared_ptr<std::mutex> Guard(const InstanceId& id);

  Options options_;
  std::mutex mutex_;                                        // of the next one
  std::map<InstanceId, std::weak_ptr<std::mutex>> guards_;  // Start, Stop and Destroy of one id take turns
  std::mutex listener_mutex_;                               // of the next one, and held while it is called
  Listener listener_;
  io::UniqueFd hints_, wake_;
  std::thread listening_;
};

// Probes each thing that the sandbox needs by doing it. `agent_binary` and `instances_directory` as in Options.
std::vector<Requirement> ProbeSandboxRequirements(const std::filesystem::path& agent_binary,
                                                  const std::filesystem::path& instances_directory);

}  // namespace sagebrush::driver
