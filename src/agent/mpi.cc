#include "agent/mpi.h"

#include <algorithm>
#include <set>

#include "agent/tensorflow_cluster.h"
#include "base/text.h"

namespace sagebrush::agent {
namespace {

constexpr size_t kKeptLines = 40, kKeptLineBytes = 2048;
constexpr size_t kMaxProcesses = 4096;

// Of the custom options, --NCCL_DEBUG is the toolkit's own; all others are mpirun's.
Result<void> TakeOptions(const std::string& text, MpiSettings& settings) {
  constexpr std::string_view kDebug = "--NCCL_DEBUG";
  std::vector<std::string> words = Words(text);
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] == kDebug) {
      if (++i == words.size()) {
        return Fail(InvalidArgument("custom_mpi_options: --NCCL_DEBUG needs a value, such as --NCCL_DEBUG WARN."));
      }
      settings.nccl_debug = words[i];
    } else if (words[i].starts_with(std::string(kDebug) + "=")) {
      settings.nccl_debug = words[i].substr(kDebug.size() + 1);
    } else {
      settings.options.push_back(words[i]);
    }
  }
  return {};
}

// "[1,3]<stderr>:" at the beginning of `text`: its length, process and stream; a length of 0 for none.
struct Tag {
  size_t length = 0;
  int rank = 0;
  std::string stream;
};

Tag TagAt(std::string_view text) {
  if (text.empty() || text[0] != '[') return {};
  size_t comma = text.find(','), close = text.find("]<"), end = text.find(">:");
  if (comma == std::string_view::npos || close == std::string_view::npos || end == std::string_view::npos ||
      comma > close || close > end || end > 40) {
    return {};
  }
  std::optional<int64_t> job = ParseInt(text.substr(1, comma - 1));
  std::optional<int64_t> rank = ParseInt(text.substr(comma + 1, close - comma - 1));
  std::string_view stream = text.substr(close + 2, end - close - 2);
  if (!job || !rank || *rank >= static_cast<int64_t>(kMaxProcesses) || (stream != "stdout" && stream != "stderr")) {
    return {};
  }
  return {end + 2, static_cast<int>(*rank), std::string(stream)};
}

// The number right behind `before` in `line`.
std::optional<int> NumberAfter(std::string_view line, std::string_view before) {
  size_t at = line.find(before);
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view rest = line.substr(at + before.size());
  std::optional<int64_t> number = ParseInt(rest.substr(0, std::min(rest.find_first_not_of("0123456789"), rest.size())));
  if (!number || *number >= static_cast<int64_t>(kMaxProcesses)) return std::nullopt;
  return static_cast<int>(*number);
}

void Append(std::vector<std::string>& to, std::initializer_list<std::string> more) { to.insert(to.end(), more); }

// What an option sets, as "-mca btl" or "-x NAME"; "" for options that may be given twice.
std::string Setting(const std::string& option, const std::string& value) {
  std::string name = option.starts_with("--") ? option.substr(1) : option;
  if (name == "-mca" || name == "-gmca") return "-mca " + value;
  if (name == "-x") return "-x " + value.substr(0, value.find('='));
  return name == "-bind-to" || name == "-map-by" ? name : "";
}

// mpirun refuses most settings that are made twice. The job's own count.
class Defaults {
 public:
  Defaults(const std::vector<std::string>& own, std::vector<std::string>& command) : command_(command) {
    for (size_t i = 0; i + 1 < own.size(); ++i) {
      if (std::string setting = Setting(own[i], own[i + 1]); !setting.empty()) own_.insert(std::move(setting));
    }
  }
  void Set(const std::string& option, const std::string& value) {
    if (!own_.contains(Setting(option, value))) Append(command_, {option, value});
  }
  void Mca(const std::string& name, const std::string& value) {
    if (!own_.contains("-mca " + name)) Append(command_, {"-mca", name, value});
  }

 private:
  std::set<std::string> own_;
  std::vector<std::string>& command_;
};

}  // namespace

std::vector<std::string> Words(const std::string& text) {
  std::vector<std::string> words;
  size_t at = 0;
  while ((at = text.find_first_not_of(" \t\r\n\v\f", at)) != std::string::npos) {
    size_t end = std::min(text.find_first_of(" \t\r\n\v\f", at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

Result<std::optional<MpiSettings>> MpiOf(const driver::InstanceSpec& spec, const Hyperparameters& hyperparameters) {
  if (!UsesToolkit(spec) || !hyperparameters.Enabled("sagemaker_mpi_enabled")) return std::nullopt;
  if (ClusterPlace(spec) < 0) return std::nullopt;  // the distribution is for other groups of instances
  MpiSettings settings;
  std::string processes = hyperparameters.Toolkit("sagemaker_mpi_num_of_processes_per_host");
  if (!processes.empty()) {
    std::optional<int64_t> number = ParseInt(processes);
    if (!number || *number < 1 || *number * spec.count > static_cast<int64_t>(kMaxProcesses)) {
      return Fail(
          InvalidArgument("The hyperparameter sagemaker_mpi_num_of_processes_per_host (processes_per_host of "
                          "`distribution`) must be a whole number from 1, with at most 4096 processes in all, "
                          "not \"" +
                          processes + "\"."));
    }
    settings.processes_per_host = static_cast<int>(*number);
  }
  TRYV(TakeOptions(hyperparameters.Toolkit("sagemaker_mpi_custom_mpi_options"), settings));
  return settings;
}

std::vector<std::string> MpirunCommand(const driver::InstanceSpec& spec, const MpiSettings& settings,
                                       const std::vector<std::string>& program,
                                       const std::vector<std::string>& environment, bool mpi4py, int cpus) {
  std::string hosts, interface = "eth0";
  std::vector<std::string> names = ClusterHosts(spec);
  for (const std::string& name : names) {
    hosts += (hosts.empty() ? "" : ",") + name;
    if (settings.processes_per_host > 1) hosts += ":" + std::to_string(settings.processes_per_host);
  }
  std::vector<std::string> exported;
  for (const std::string& variable : environment) {
    std::string name = variable.substr(0, variable.find('='));
    if (name == "SM_NETWORK_INTERFACE_NAME") interface = variable.substr(name.size() + 1);
    bool passed = name.starts_with("SM_") || name == "PATH" || name == "LD_LIBRARY_PATH" ||
                  name == "AWS_ACCESS_KEY_ID" || name == "AWS_SECRET_ACCESS_KEY" || name == "AWS_SESSION_TOKEN";
    if (passed) exported.push_back(name);
  }
  int processes = settings.processes_per_host * static_cast<int>(names.size());
  std::vector<std::string> command = {"mpirun", "--host", hosts, "-np", std::to_string(processes)};
  Append(command, {"--allow-run-as-root", "--display-map", "--tag-output"});
  Defaults defaults(settings.options, command);
  defaults.Mca("btl_tcp_if_include", interface);
  defaults.Mca("oob_tcp_if_include", interface);
  defaults.Mca("plm_rsh_no_tree_spawn", "1");
  if (!spec.commands.empty()) defaults.Mca("plm_rsh_agent", (spec.commands / "ssh").native());
  defaults.Set("-bind-to", "none");
  defaults.Set("-map-by", "slot");
  defaults.Mca("pml", "ob1");
  defaults.Mca("btl", "^openib");
  defaults.Mca("orte_abort_on_non_zero_status", "1");
  defaults.Mca("btl_vader_single_copy_mechanism", "none");
  // mpirun takes each host for a machine of its own and lets processes that wait keep a CPU busy.
  if (processes > cpus) defaults.Mca("mpi_yield_when_idle", "1");
  defaults.Set("-x", "NCCL_SOCKET_IFNAME=" + interface);
  defaults.Set("-x", "NCCL_DEBUG=" + settings.nccl_debug);
  command.insert(command.end(), settings.options.begin(), settings.options.end());
  for (const std::string& name : exported) defaults.Set("-x", name);
  command.insert(command.end(), program.begin(), program.end());
  bool python = program.size() > 1 && program[0] == PythonOf(spec) && program[1].ends_with(".py");
  if (python && mpi4py) {
    std::vector<std::string> module = {"-m", "mpi4py"};
    command.insert(command.end() - static_cast<std::ptrdiff_t>(program.size()) + 1, module.begin(), module.end());
  }
  return command;
}

std::string MissingMpirun() {
  return "The job asks for MPI, and there is no program mpirun in the instance's PATH. Install OpenMPI 4 on this "
         "machine "
         "(Debian: apt-get install openmpi-bin libopenmpi-dev), and start the job again.";
}

// --- what mpirun prints --------------------------------------------------------------------------------------------

void MpiOutput::Take(std::string_view line) {
  if (TagAt(line).length > 0) {
    TakeTagged(line);
  } else {
    TakeOwn(line);
  }
}

void MpiOutput::TakeTagged(std::string_view line) {
  Tag tag = TagAt(line);
  while (tag.length > 0) {
    line.remove_prefix(tag.length);
    Tag next;
    size_t end = 0;
    for (end = line.find('['); end != std::string_view::npos; end = line.find('[', end + 1)) {
      next = TagAt(line.substr(end));
      if (next.length > 0) break;
    }
    std::string& partial = partial_[{tag.rank, tag.stream}];
    if (partial.size() < kKeptLineBytes) partial += line.substr(0, end);
    if (next.length == 0) {  // the line's end ends what came last
      bool words = partial.starts_with("Traceback (most recent call last)") ||
                   partial.find("*** Process received signal ***") != std::string::npos;
      if (words && !first_words_) first_words_ = tag.rank;
      std::deque<std::string>& lines = lines_[tag.rank];
      lines.push_back(std::move(partial));
      if (lines.size() > kKeptLines) lines.pop_front();
      partial_.erase({tag.rank, tag.stream});
      return;
    }
    line.remove_prefix(end);
    tag = next;
  }
}

void MpiOutput::TakeOwn(std::string_view line) {
  constexpr std::string_view kNode = "Data for node: ";
  if (size_t at = line.find(kNode); at != std::string_view::npos) {
    std::string_view rest = line.substr(at + kNode.size());
    node_ = std::string(rest.substr(0, rest.find_first_of(" \t")));
    return;
  }
  if (std::optional<int> placed = NumberAfter(line, "Process rank: "); placed && !node_.empty())
    hosts_[*placed] = node_;
  if (failed_) return;
  if (line.find("MPI_ABORT was invoked on rank ") != std::string_view::npos) failed_ = NumberAfter(line, "on rank ");
  if (size_t at = line.find("Process name: [["); at != std::string_view::npos) {
    failed_ = NumberAfter(line.substr(at), "],");
  }
  if (line.find("mpirun noticed that process rank ") != std::string_view::npos) {
    failed_ = NumberAfter(line, "process rank ");
    signal_ = NumberAfter(line, "exited on signal ").value_or(0);
  }
}

std::optional<MpiOutput::Failed> MpiOutput::failed() const {
  std::optional<int> rank = failed_ ? failed_ : first_words_;
  if (!rank) return std::nullopt;
  auto host = hosts_.find(*rank);
  auto lines = lines_.find(*rank);
  Failed failed{*rank, host == hosts_.end() ? "" : host->second, signal_, {}};
  if (lines != lines_.end()) failed.last_lines = lines->second;
  return failed;
}

std::string MpiOutput::FailureOf(const Failed& failed, ProgramEnd end, const std::vector<std::string>& command) {
  if (failed.signal != 0) end.signal = failed.signal;
  std::string origin = "rank " + std::to_string(failed.rank);
  if (!failed.host.empty()) origin += " on " + failed.host;
  return ProgramFailure(end, failed.last_lines, command, origin);
}

}  // namespace sagebrush::agent
