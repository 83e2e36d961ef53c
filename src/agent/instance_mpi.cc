// What an instance does as one host of an MPI job.
#include <signal.h>

#include <algorithm>
#include <thread>

#include "agent/instance.h"
#include "base/clock.h"

namespace sagebrush::agent {

// Host 1 runs mpirun, which runs the programs of all hosts through their remote shells; the others end with it.
Result<int> Instance::RunMpi() {
  const int first = MpiHosts(spec_).front();
  if (spec_.rank == first) return Launch();
  int64_t killed_ms = 0;  // for its memory
  TRYV(loop_->AwaitOrStop([this, first, &killed_ms] {
    if (killed_ms == 0 && sandbox_->cgroup().KilledForMemory()) killed_ms = WallClockMs();
    return peers_.Ended(first);
  }));
  if (loop_->stop_requested() && !peers_.Ended(first)) {
    loop_->SignalRanks();
    loop_->SendTerm();
    TRYV(loop_->AwaitEndOfStop([this, first] { return peers_.Ended(first); }));
  }
  if (killed_ms == 0 || !peers_.Failed(first)) return 0;
  status_.training_ended_ms = killed_ms;  // the cause of host 1's failure, so the earlier one
  return SIGKILL;
}

Result<int> Instance::Launch() {
  TRY(int found, RunToItsEnd({"/bin/sh", "-c", "command -v mpirun >/dev/null"}, "/"));
  if (found != 0 && !loop_->stop_requested()) return Fail(InvalidArgument(MissingMpirun()));
  TRY(int missing, RunToItsEnd({PythonOf(spec_), "-c",
                                "import importlib.util, sys; sys.exit(importlib.util.find_spec('mpi4py') is None)"},
                               "/"));
  const std::vector<int> hosts = MpiHosts(spec_);
  int early = -1;  // a host that has ended already
  TRYV(loop_->AwaitOrStop([this, &hosts, &early] {
    bool all = true;
    for (int rank : hosts) {
      if (rank == spec_.rank) continue;
      if (peers_.Ended(rank)) early = rank;
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
  int processes = mpi_->processes_per_host * static_cast<int>(hosts.size());
  Say("mpirun launches " + std::to_string(processes) + (processes == 1 ? " process on " : " processes on ") +
      std::to_string(hosts.size()) + (hosts.size() == 1 ? " host" : " hosts"));
  log_->ForgetTail();
  log_->Observe([this](std::string_view line) { mpi_output_.Take(line); });
  loop_->SignalRanks();
  return RunToItsEnd(command_, WorkingDirectory());
}

}  // namespace sagebrush::agent
