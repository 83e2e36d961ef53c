#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "driver/sandbox/cgroup.h"
#include "driver/sandbox/control_channel.h"
#include "driver/sandbox/init.h"
#include "driver/sandbox/instance_files.h"
#include "driver/sandbox/job_switch.h"

namespace sagebrush::driver {

// The agent's hold on an instance: makes its namespaces, then speaks with its init. When this process dies, the
// instance dies. Single-threaded processes only: the instance is a fork that goes on to use the heap.
class Sandbox {
 public:
  struct Options {
    InstanceFiles files;
    const InstanceSpec* spec = nullptr;  // outlives this
    uid_t uid = 100'000;                 // the first of the 65,536 ids that the instance's are, as root
    gid_t gid = 100'000;
    std::vector<std::filesystem::path> hidden;  // directories of the host that no instance may see
    TaskHandler task;                           // runs inside; see init.h
    std::vector<int> kept;                      // descriptors the task handler uses
  };
  // Returns once init is forked; it reports ready (or failed) through control(). The calling process is in the
  // instance's network from then on.
  static Result<std::unique_ptr<Sandbox>> Create(Options options);

  ControlChannel& control() { return *control_; }
  int log_fd() const { return log_.get(); }        // what programs print; non-blocking
  int result_fd() const { return result_.get(); }  // what tasks report; non-blocking
  const Cgroup& cgroup() const { return cgroup_; }
  bool rootless() const { return rootless_; }
  pid_t init() const { return init_; }
  // Kills everything inside, waits for it, and removes the control groups.
  void End();
  static std::string CgroupName(const InstanceFiles& files);

 private:
  Sandbox() = default;
  Result<void> PrepareNamespaces(const Options& options);
  Result<void> Fork(const Options& options, RootTree& tree);
  Result<void> Connect(const InstanceSpec& spec);
  Result<void> ConnectThroughSwitch(const InstanceSpec& spec, int instance_network);

  bool rootless_ = false;
  io::UniqueFd user_namespace_, log_, result_;
  std::optional<JobSwitch> switch_;
  Cgroup cgroup_;
  std::string cgroup_name_;
  std::optional<ControlChannel> control_;
  pid_t init_ = 0;
};

}  // namespace sagebrush::driver
