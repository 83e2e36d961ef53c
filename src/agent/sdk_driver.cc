#include "agent/sdk_driver.h"

#include <algorithm>
#include <optional>

#include "agent/mpi.h"
#include "agent/toolkit.h"
#include "base/text.h"

namespace sagebrush::agent {
namespace {

constexpr std::string_view kDrivers = "/opt/ml/input/data/sm_drivers/";
constexpr std::string_view kTraceback = "Traceback (most recent call last):";
constexpr std::string_view kCommandFailed = "Command failed with exit code ";
constexpr std::string_view kExecuting = "Executing command: ";
constexpr std::string_view kInstalling = "Installing requirements";

// What `set -x` of the drivers' shell script prints; its commands have two or more of the signs.
bool IsShellTrace(std::string_view line) {
  size_t end = line.find_first_not_of('+');
  return end != std::string_view::npos && end >= 2 && line[end] == ' ';
}

// The part of the output that is the program's own.
struct Output {
  std::vector<std::string> lines;
  std::string command;           // as the drivers print it
  std::string requirements;      // the file, when they were installing packages
  std::optional<int> exit_code;  // of the command, negative for a signal, when they print it
};

// Whether the traceback at `at` says no more than that a command of the drivers failed.
bool IsDriversTraceback(const std::vector<std::string>& lines, size_t at) {
  bool drivers = false;
  for (size_t i = at + 1; i < lines.size(); ++i) {
    if (lines[i].starts_with("  ")) {
      drivers = drivers || lines[i].contains(kDrivers);
      continue;
    }
    return drivers && lines[i].starts_with("subprocess.CalledProcessError: ");
  }
  return false;
}

// "1. Traceback…", or "-11. …" for a signal.
std::optional<int> ExitCodeAt(std::string_view text) {
  bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  std::optional<int64_t> number = ParseInt(text.substr(0, text.find('.')));
  if (!number || *number > 255) return std::nullopt;
  return static_cast<int>(negative ? -*number : *number);
}

// The drivers' last words, after the program's, are cut off.
void CutEnd(Output& output) {
  std::vector<std::string>& lines = output.lines;
  for (size_t i = lines.size(); i-- > 0;) {
    if (!IsShellTrace(lines[i]) || !lines[i].ends_with(" handle_error")) continue;
    lines.resize(i);
    break;
  }
  for (size_t i = lines.size(); i-- > 0;) {
    if (!lines[i].ends_with(kTraceback)) continue;
    if (!IsDriversTraceback(lines, i)) return;
    if (lines[i].starts_with(kCommandFailed)) {
      output.exit_code = ExitCodeAt(std::string_view(lines[i]).substr(kCommandFailed.size()));
    }
    lines.resize(i);
    return;
  }
}

// So is what they said before it.
void CutBeginning(Output& output) {
  std::vector<std::string>& lines = output.lines;
  for (size_t i = lines.size(); i-- > 0;) {
    bool installing = lines[i] == kInstalling;
    if (!installing && !lines[i].starts_with(kExecuting)) continue;
    if (!installing) output.command = lines[i].substr(kExecuting.size());
    for (size_t j = i + 1; installing && j < lines.size(); ++j) {
      if (IsShellTrace(lines[j])) output.requirements = lines[j].substr(lines[j].rfind(' ') + 1);
    }
    lines.erase(lines.begin(), lines.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    return;
  }
}

bool IsMarker(std::string_view line) {
  return !line.empty() && line.find_first_not_of("~^ ") == std::string_view::npos;
}

// A line that can only be an exception's own, where one of the source might stand.
bool NamesException(std::string_view line) {
  std::string_view name = line.substr(0, line.find(':'));
  return std::ranges::any_of(std::initializer_list<std::string_view>{"Error", "Exception", "Exit", "Interrupt"},
                             [&](std::string_view end) { return name.ends_with(end); }) &&
         name.find_first_of(" ()'\"") == std::string_view::npos;
}

// The drivers strip the lines that the script prints, and a traceback without its indentation has no visible end.
void RestoreIndentation(std::vector<std::string>& lines) {
  for (size_t i = 0; i < lines.size(); ++i) {
    if (!lines[i].starts_with("File \"")) continue;
    bool has_source = !lines[i].starts_with("File \"<") && i + 1 < lines.size() && !NamesException(lines[i + 1]);
    lines[i].insert(0, "  ");
    if (has_source) lines[++i].insert(0, "    ");
    while (i + 1 < lines.size() && (IsMarker(lines[i + 1]) || lines[i + 1].starts_with("[Previous line repeated "))) {
      lines[++i].insert(0, "    ");
    }
  }
}

Output OutputOf(const std::deque<std::string>& last_lines) {
  Output output;
  output.lines.assign(last_lines.begin(), last_lines.end());
  CutEnd(output);
  CutBeginning(output);
  std::erase_if(output.lines, IsShellTrace);
  if (output.exit_code) RestoreIndentation(output.lines);
  return output;
}

}  // namespace

bool RunsSdkDriver(const std::vector<std::string>& command) {
  return std::ranges::any_of(command, [](const std::string& part) { return part.contains(kDrivers); });
}

bool IsSdkDriverText(std::string_view failure) {
  size_t begin = std::min(failure.find_first_not_of(" \n"), failure.size());
  return failure.substr(begin).starts_with("Training Execution failed.") ||
         (failure.contains(kDrivers) && failure.contains("subprocess.CalledProcessError: "));
}

std::string SdkDriverFailure(ProgramEnd end, const std::deque<std::string>& last_lines,
                             const std::vector<std::string>& command) {
  Output output = OutputOf(last_lines);
  if (output.exit_code) end.exit_code = *output.exit_code;
  if (end.exit_code < 0) end.signal = -end.exit_code;
  TakeShellSignal(end);
  std::deque<std::string> lines(output.lines.begin(), output.lines.end());
  if (!output.requirements.empty()) return InstallFailure(output.requirements, end.exit_code, lines);
  std::vector<std::string> ran = output.command.empty() ? command : Words(output.command);
  if (ran.empty() || ran.front() != "mpirun") return ProgramFailure(end, lines, ran);
  MpiOutput mpi;
  for (const std::string& line : lines) mpi.Take(line);
  std::optional<MpiOutput::Failed> failed = mpi.failed();
  return failed ? MpiOutput::FailureOf(*failed, end, ran) : ProgramFailure(end, lines, ran);
}

}  // namespace sagebrush::agent
