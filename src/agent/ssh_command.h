#pragma once

#include <string>
#include <vector>

#include "base/result.h"

// The command `ssh` inside an instance: `ssh [options] host [command …]` between the hosts of one job, through their
// agents (agent/remote_shell.h). Options that steer connection, identity or terminal are taken and have no effect here;
// those that ask for forwarding are refused. A host that is none of the job's is left to the system's own ssh.
namespace sagebrush::agent {

struct SshCall {
  std::string host;
  std::string command;      // the arguments after the host, joined by spaces as ssh does; "": a shell that reads input
  bool no_input = false;    // -n
  bool background = false;  // -f
  bool show_version = false;  // -V
};

// `arguments` without the program's name.
Result<SshCall> ParseSsh(const std::vector<std::string>& arguments);

// The command. Returns its exit code: the remote program's own, 255 for an error or when a signal ended the program.
int RunSsh(int argc, char** argv);

}  // namespace sagebrush::agent
