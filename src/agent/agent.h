#pragma once

#include <sys/types.h>

#include <filesystem>
#include <vector>

namespace sagebrush::agent {

// Supervisor and agent of one instance, in one process outside its namespaces, but for its network (ConnectSocket).
// RunAgent returns in the caller (0: the agent runs, or ran already) once a grandchild in a session of its own holds
// the instance's lock; that one builds the instance, prepares it as the hosted training toolkit would (a service, as a
// hosted inference container is), runs the program, makes the artifacts, and leaves the outcome in status.json. It
// depends on the engine for nothing.
//
// Killed at any moment, it takes the whole instance with it; what it wrote before stays: every phase is in status.json
// before its work begins, the log holds whole records only, and without an "Ended" in status.json whoever looks sees
// that the lock is free and calls the instance lost.
struct AgentOptions {
  std::filesystem::path instance_directory;  // with spec.json in it
  uid_t uid = 100'000;                       // the instances' range of ids begins here, when started by root
  gid_t gid = 100'000;
  std::vector<std::filesystem::path> hidden;  // of the host, besides temporary files, homes and run-time state
};

int RunAgent(const AgentOptions& options);

}  // namespace sagebrush::agent
