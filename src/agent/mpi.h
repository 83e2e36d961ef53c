#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/failure_text.h"
#include "agent/toolkit.h"
#include "driver/driver.h"

// MPI (and Horovod) as the hosted training toolkit runs it: host 1 launches the program on every host by mpirun. See
// docs/distributed.md.
namespace sagebrush::agent {

struct MpiSettings {
  int processes_per_host = 1;
  std::vector<std::string> options;  // the job's own, as they are passed on
  std::string nccl_debug = "INFO";
};

// What the job asks for; nullopt when it does not ask for MPI. kInvalidArgument for a number or option that is none.
Result<std::optional<MpiSettings>> MpiOf(const driver::InstanceSpec& spec, const Hyperparameters& hyperparameters);

// How host 1 starts the program (its command line on one host) on all of them. `environment` is the program's; `cpus`
// those of the machine, which all hosts share. With `mpi4py`, Python runs the script under that module, which ends the
// whole job at an exception of one process.
std::vector<std::string> MpirunCommand(const driver::InstanceSpec& spec, const MpiSettings& settings,
                                       const std::vector<std::string>& program,
                                       const std::vector<std::string>& environment, bool mpi4py, int cpus);

// Why a job fails whose host 1 has no mpirun.
std::string MissingMpirun();

// The words of a command line or of options, without quotes having a meaning.
std::vector<std::string> Words(const std::string& text);

// Reads what mpirun prints: where each process runs, which one failed first, and what each one printed last. The lines
// are those of `--display-map --tag-output`, in which processes may be mixed even within one line.
class MpiOutput {
 public:
  void Take(std::string_view line);

  struct Failed {
    int rank = 0;
    std::string host;  // "" when mpirun has not said
    int signal = 0;    // that ended it, or 0
    std::deque<std::string> last_lines;
  };
  // The process that failed first: by mpirun's own word, which it sometimes loses as it ends (seen with 4.1.4), or else
  // the first one to print a traceback. nullopt when there is neither.
  std::optional<Failed> failed() const;
  // As agent::ProgramFailure, of that process of `command`.
  static std::string FailureOf(const Failed& failed, ProgramEnd end, const std::vector<std::string>& command);

 private:
  void TakeTagged(std::string_view line);
  void TakeOwn(std::string_view line);

  std::string node_;  // whose processes the map lists just now
  std::map<int, std::string> hosts_;
  std::map<int, std::deque<std::string>> lines_;
  std::map<std::pair<int, std::string>, std::string> partial_;  // by process and stream: a line not yet ended
  std::optional<int> failed_, first_words_;                     // by mpirun's word; by a traceback
  int signal_ = 0;
};

}  // namespace sagebrush::agent
