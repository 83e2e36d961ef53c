#pragma once

#include <functional>
#include <string>
#include <vector>

#include "driver/sandbox/cgroup.h"
#include "driver/sandbox/control_channel.h"
#include "driver/sandbox/root_tree.h"

namespace sagebrush::driver {

// A piece of the agent's own work that must be done with no more rights than the program: in a process forked from
// init, inside, privileges dropped. It writes what it has to say to `result_fd` (less than a pipe holds) and returns
// the exit code.
using TaskHandler = std::function<int(const std::string& name, int result_fd)>;

// The abstract Unix socket inside an instance at which its `ssh` finds the agent.
inline constexpr char kRemoteShellAddress[] = "sagebrush-remote-shell";

struct InitPlan {
  RootTree* tree = nullptr;
  const Cgroup* cgroup = nullptr;
  TaskHandler task;
  int rank = 0, count = 1;
  int64_t pids_limit = 0;                   // as a resource limit; 0 when the control group has it
  int user_namespace = -1;                  // to enter at last; -1: a new one of its own (rootless)
  int control = -1, log = -1, result = -1;  // init's ends
  std::vector<int> kept;                    // other descriptors that tasks use
};

// PID 1 of an instance: builds the file tree and the network around itself, gives up root, reports "ready" and then
// serves requests. It reaps everything, forwards SIGTERM to the program's session, and dies with the agent: by the
// parent-death signal, and by the end of the control socket should that have come too early. Its own death, by
// whatever cause, ends every process of the instance.
[[noreturn]] void RunInit(const InitPlan& plan);

}  // namespace sagebrush::driver
