#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "agent/engine_proxy.h"
#include "agent/log_writer.h"
#include "agent/remote_shell.h"
#include "driver/sandbox/connect_socket.h"
#include "driver/sandbox/sandbox.h"

namespace sagebrush::agent {

// What the agent waits for.
enum class InstanceEvent { kReady, kEnded, kQuiet };

struct EventReport {
  int wait_status = 0;  // of kEnded, as waitpid gives it
};

// The agent's one loop: moves the program's output to the log, carries connections to the engine and calls between the
// job's instances, hands out connections into this one, and watches for a stop request, while it waits for the next
// event of the instance's init.
class InstanceLoop {
 public:
  struct Options {
    driver::InstanceFiles files;
    const driver::InstanceSpec* spec = nullptr;  // outlives this
    std::vector<std::string> environment;        // of what the job's instances start here
  };
  InstanceLoop(Options options, driver::Sandbox& sandbox, LogWriter& log);

  Result<void> Open();
  // Until `wanted`. An error when the instance failed or died. While `stoppable`, a stop request is passed on to what
  // runs: SIGTERM now, SIGKILL to everything after the grace.
  Result<EventReport> Wait(InstanceEvent wanted, bool stoppable);
  // From now on a program that is waited for, stoppable, is asked to end as by a stop once `condition` holds. It is
  // looked at ten times a second.
  void EndProgramWhen(std::function<bool()> condition) { condition_ = std::move(condition); }
  // Until `condition` holds, a stop is requested, or the companion ends.
  Result<void> AwaitOrStop(std::function<bool()> condition);
  // For a program that a stop has already reached: until `condition` holds, or the grace of the stop is over.
  Result<void> AwaitEndOfStop(std::function<bool()> condition);
  // The job's other instances may start programs here, until ProgramIsOver.
  Result<void> OpenRemoteShell() { return remote_shell_->Open(); }
  // The program is mpirun: a stop is for the programs that it and its daemons run in this instance.
  void SignalRanks() { signal_ = "signal_ranks"; }
  void SendTerm();
  // A stop request that comes from now on has nothing to end, and the log does not speak of one.
  void ProgramIsOver() {
    program_is_over_ = true;
    remote_shell_.reset();
  }
  // What is in the pipe by now; for when no process can write any more.
  void Drain();

  bool stop_requested() const { return stop_requested_; }
  // The instance's first process died: nothing runs inside any more, and not by a program's doing.
  bool broken() const { return gone_; }
  // The condition of EndProgramWhen held while the program ran.
  bool released() const { return released_; }
  // How the process beside the program ended, as waitpid gives it, if it did so of itself; the program was killed then.
  const std::optional<int>& companion_end() const { return companion_end_; }
  // The log could not be stored: the instance must fail with this. Everything inside was killed.
  const std::optional<Error>& log_failure() const { return log_failure_; }

 private:
  int PollTimeout(bool stoppable) const;
  void PollOnce(bool stoppable);
  bool PumpLog();
  void CheckStop();
  void PressStop();
  void Press();
  void Note(Result<void> logged);
  void TakeListeners();
  Result<void> Await(const std::function<bool()>& until);
  std::optional<Result<EventReport>> TakeEvents(InstanceEvent wanted);

  Options options_;
  driver::Sandbox& sandbox_;
  LogWriter& log_;
  io::UniqueFd stop_watch_;
  std::unique_ptr<EngineProxy> proxy_;
  std::unique_ptr<RemoteShell> remote_shell_;
  std::optional<driver::ConnectSocket> connect_socket_;
  std::string_view signal_ = "signal";
  bool stop_requested_ = false, terminated_ = false, killed_ = false, gone_ = false;
  int64_t kill_at_ms_ = 0;
  std::function<bool()> condition_;
  bool released_ = false, program_is_over_ = false;
  std::optional<int> companion_end_;
  std::optional<Error> log_failure_;
};

}  // namespace sagebrush::agent
