#pragma once

#include <poll.h>

#include <list>
#include <optional>
#include <string>
#include <vector>

#include "agent/peers.h"
#include "driver/sandbox/control_channel.h"
#include "io/file.h"

namespace sagebrush::agent {

// The remote shell between a job's instances: what mpirun, and scripts, reach by the command `ssh`
// (agent/ssh_command.h). There is no daemon in an instance and no key. The command connects to its own instance's
// agent, at an abstract Unix socket that exists in that instance's network alone, and hands over its standard input,
// output and error. The agent passes them, and the command, to the target's agent at that one's remote.sock; the
// target's init starts the program with them: as the instance's root, in its control group, never outliving it. No byte
// of the streams passes through an agent.
//
// Who may: the programs of the job's own instances, and nobody else. remote.sock lies in a directory of the engine's
// user alone, and takes calls from one process of each instance of the same job, its agent, recognised by the kernel's
// word for its process number and by its start time. So neither another job nor another process of this user's can
// start anything.
//
// A call is {host, command} from a program, {from, command} from an agent; the answer is one of {status}, as waitpid
// gives it, {error}, and {unknown: true} for a host that is none of the job's. A caller that goes away first takes with
// it what it started, by SIGHUP. Single-threaded; a call to a host that has not begun yet waits for it.
class RemoteShell {
 public:
  struct Options {
    driver::InstanceFiles files;
    const driver::InstanceSpec* spec = nullptr;  // outlives this
    std::vector<std::string> environment;        // of what is started here, under that of /etc/environment
  };
  // `init` starts programs and outlives this; `listener` is the socket inside the instance.
  RemoteShell(Options options, driver::ControlChannel& init, io::UniqueFd listener);
  ~RemoteShell();
  RemoteShell(const RemoteShell&) = delete;
  RemoteShell& operator=(const RemoteShell&) = delete;

  // Other agents' calls are taken from now on.
  Result<void> Open();

  // Appends what to poll; Serve is then given the same entries (in the same order) with their revents.
  void AddTo(std::vector<pollfd>& waiting) const;
  void Serve(const pollfd* entries, size_t count);
  // When a host that has not begun yet is to be looked at again, as MonotonicMs; 0 for never.
  int64_t retry_at_ms() const { return retry_at_ms_; }
  // init's word that a program has ended.
  void Ended(int64_t id, int wait_status);

 private:
  struct Call {
    driver::ControlChannel caller;
    bool from_agent = false;
    pid_t process = 0;                            // of an agent that calls
    int64_t id = 0;                               // of the program that runs here; 0 for none
    std::optional<driver::ControlChannel> agent;  // that it was passed on to
    int waits_for = -1;                           // the host it is for, which has not begun
    std::string command;
    std::vector<io::UniqueFd> streams;
    bool begun = false, done = false;
  };

  void Accept(int listener, bool from_agent);
  void Read(Call& call);
  void Begin(Call& call, const boost::json::object& request);
  void StartHere(Call& call);
  void PassOn(Call& call, int rank);
  void Relay(Call& call);
  void Answer(Call& call, const boost::json::object& answer);
  void HangUp(Call& call);
  io::UniqueFd ConnectTo(int rank) const;

  Options options_;
  Peers peers_;
  driver::ControlChannel& init_;
  io::UniqueFd inside_, outside_;
  std::list<Call> calls_;
  int64_t next_id_ = 1, retry_at_ms_ = 0;
};

}  // namespace sagebrush::agent
