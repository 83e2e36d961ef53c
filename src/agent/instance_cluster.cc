// What an instance does as one host of several: parameter servers and MPI.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <thread>

#include "agent/failure_text.h"
#include "agent/instance.h"
#include "base/clock.h"

namespace sagebrush::agent {
namespace {

namespace json = boost::json;
using driver::Phase;

constexpr int64_t kLongestLeaveMs = 30'000;

}  // namespace

bool Instance::OtherHostsEnded() const {
  return std::ranges::all_of(cluster_, [this](int rank) { return rank == cluster_.front() || peers_.Ended(rank); });
}

// --- parameter servers ---------------------------------------------------------------------------------------------

// A process that serves this host's share of the parameters for as long as the program runs.
Result<void> Instance::StartParameterServer() {
  std::vector<std::string> argv = ParameterServerCommand(spec_);
  std::vector<std::string> variables = ParameterServerVariables(spec_, layout_, environment_);
  TRYV(sandbox_->control().Send({{"kind", "companion"},
                                 {"argv", json::array(argv.begin(), argv.end())},
                                 {"env", json::array(variables.begin(), variables.end())},
                                 {"cwd", "/"}}));
  if (spec_.rank == cluster_.front()) return {};
  // A program that waits for ever for a cluster that is gone is ended; one that is about to end by itself may do so.
  int64_t patience_ms = layout_ == ClusterLayout::kCoordinated ? 0 : LeaveMs();
  loop_->EndProgramWhen([this, patience_ms, seen_ms = int64_t{0}]() mutable {
    if (seen_ms == 0 && peers_.Ended(cluster_.front())) seen_ms = MonotonicMs();
    return seen_ms != 0 && MonotonicMs() - seen_ms >= patience_ms;
  });
  return {};
}

// The program has ended; when may this host's parameter server? Host 1 ends the cluster: the others stay, serving,
// until that, and host 1 gives their programs a while to see it. Returns the wait status that counts.
Result<int> Instance::LeaveCluster(int wait_status) {
  SetPhase(Phase::kTraining, false);  // training_ended_ms, for the other hosts to see
  bool stopped = loop_->stop_requested();
  bool first = spec_.rank == cluster_.front();
  if (!loop_->companion_end() && !stopped) {
    if (wait_status != 0 && !first && (loop_->released() || peers_.Ended(cluster_.front()))) {
      Say("host 1 has ended, and with it this host's part");
      return 0;
    }
    if (wait_status == 0 && !first) TRYV(loop_->AwaitOrStop([this] { return peers_.Ended(cluster_.front()); }));
    if (wait_status == 0 && first && layout_ == ClusterLayout::kParameterServers) {
      int64_t until_ms = MonotonicMs() + LeaveMs();
      TRYV(loop_->AwaitOrStop([this, until_ms] { return OtherHostsEnded() || MonotonicMs() >= until_ms; }));
    }
  }
  if (!loop_->companion_end() || stopped) return wait_status;
  int end = *loop_->companion_end();
  ProgramEnd told{WIFEXITED(end) ? WEXITSTATUS(end) : 0, WIFSIGNALED(end) ? WTERMSIG(end) : 0,
                  sandbox_->cgroup().KilledForMemory(), spec_.limits.memory_bytes};
  loop_->Drain();
  std::string reason = ParameterServerFailure(told, log_->tail());
  TRYV(KillTheRest());
  return Fail(Error(ErrorKind::kUnavailable, std::move(reason)));
}

// How long programs may take to notice the end of the cluster.
int64_t Instance::LeaveMs() const { return std::min<int64_t>(spec_.stop_grace_ms, kLongestLeaveMs); }

// --- MPI -----------------------------------------------------------------------------------------------------------

// Host 1 runs mpirun, which runs the programs of all hosts through their remote shells; the others end with it.
Result<int> Instance::RunMpi() {
  if (spec_.rank == cluster_.front()) return Launch();
  int64_t killed_ms = 0;  // for its memory
  TRYV(loop_->AwaitOrStop([this, &killed_ms] {
    if (killed_ms == 0 && sandbox_->cgroup().KilledForMemory()) killed_ms = WallClockMs();
    return peers_.Ended(cluster_.front());
  }));
  if (loop_->stop_requested() && !peers_.Ended(cluster_.front())) {
    loop_->SignalRanks();
    loop_->SendTerm();
    TRYV(loop_->AwaitEndOfStop([this] { return peers_.Ended(cluster_.front()); }));
  }
  if (killed_ms == 0 || !peers_.Failed(cluster_.front())) return 0;
  status_.training_ended_ms = killed_ms;  // the cause of host 1's failure, so the earlier one
  return SIGKILL;
}

Result<int> Instance::Launch() {
  TRY(int found, RunToItsEnd({"/bin/sh", "-c", "command -v mpirun >/dev/null"}, "/"));
  if (found != 0 && !loop_->stop_requested()) return Fail(InvalidArgument(MissingMpirun()));
  TRY(int missing, RunToItsEnd({PythonOf(spec_), "-c",
                                "import importlib.util, sys; sys.exit(importlib.util.find_spec('mpi4py') is None)"},
                               "/"));
  int early = -1;  // a host that has ended already
  TRYV(loop_->AwaitOrStop([this, &early] {
    bool all = true;
    for (int rank : cluster_) {
      if (rank == spec_.rank) continue;
      if (early < 0 && peers_.Ended(rank)) early = rank;
      all = all && peers_.Training(rank);
    }
    return all || early >= 0;
  }));
  if (loop_->stop_requested()) return 0;
  if (early >= 0) {
    return Fail(Error(ErrorKind::kUnavailable, "The host " + HostName(early) + " ended before mpirun could start."));
  }
  int cpus = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  command_ = MpirunCommand(spec_, *mpi_, command_, environment_, missing == 0, cpus);
  int hosts = static_cast<int>(cluster_.size());
  int processes = mpi_->processes_per_host * hosts;
  Say("mpirun launches " + std::to_string(processes) + (processes == 1 ? " process on " : " processes on ") +
      std::to_string(hosts) + (hosts == 1 ? " host" : " hosts"));
  log_->ForgetTail();
  log_->Observe([this](std::string_view line) { mpi_output_.Take(line); });
  loop_->SignalRanks();
  return RunToItsEnd(command_, WorkingDirectory());
}

}  // namespace sagebrush::agent
