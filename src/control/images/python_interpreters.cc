#include "control/images/python_interpreters.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>

#include "base/text.h"
#include "io/subprocess.h"

namespace sagebrush::control {
namespace fs = std::filesystem;
namespace {

int MinorNumber(const std::string& version) {
  std::vector<std::string_view> parts = Split(version, '.');
  return parts.size() < 2 ? -1 : static_cast<int>(ParseInt(parts[1]).value_or(-1));
}

std::vector<fs::path> CandidateDirectories() {
  std::vector<fs::path> directories;
  if (const char* path = std::getenv("PATH")) {
    for (std::string_view entry : Split(path, ':')) {
      // pyenv's shims are scripts that choose a Python by the working directory: the versions themselves are below.
      if (!entry.empty() && !entry.ends_with("/shims")) directories.emplace_back(entry);
    }
  }
  directories.insert(directories.end(), {"/usr/local/bin", "/usr/bin"});
  std::vector<fs::path> roots = {"/opt/python"};
  if (const char* home = std::getenv("HOME")) {
    roots.push_back(fs::path(home) / ".pyenv/versions");
    roots.push_back(fs::path(home) / ".local/share/uv/python");
  }
  if (const char* root = std::getenv("PYENV_ROOT")) roots.push_back(fs::path(root) / "versions");
  for (const fs::path& root : roots) {
    std::error_code ignored;
    for (const fs::directory_entry& entry : fs::directory_iterator(root, ignored)) {
      directories.push_back(entry.path() / "bin");
    }
  }
  return directories;
}

std::set<fs::path> CandidateExecutables(const std::vector<fs::path>& extra) {
  std::set<fs::path> executables(extra.begin(), extra.end());
  for (const fs::path& directory : CandidateDirectories()) {
    for (int minor = 8; minor <= 20; ++minor) {
      fs::path candidate = directory / ("python3." + std::to_string(minor));
      std::error_code ignored;
      fs::path real = fs::canonical(candidate, ignored);
      if (!real.empty() && ::access(real.c_str(), X_OK) == 0) executables.insert(real);
    }
  }
  return executables;
}

}  // namespace

std::string PythonInterpreter::minor() const {
  std::vector<std::string_view> parts = Split(version, '.');
  return parts.size() < 2 ? version : std::string(parts[0]) + "." + std::string(parts[1]);
}

std::vector<PythonInterpreter> FindPythonInterpreters(const std::vector<fs::path>& extra,
                                                      const std::atomic<bool>* cancelled) {
  std::map<int, PythonInterpreter> by_minor;
  for (const fs::path& executable : CandidateExecutables(extra)) {
    io::Command command{{executable.string(), "-I", "-c",
                         "import sys, venv; print('%d.%d.%d' % sys.version_info[:3]); print(sys.base_prefix)"}};
    command.deadline = std::chrono::seconds(20);
    command.cancelled = cancelled;
    Result<io::CommandOutcome> outcome = io::Run(command);
    if (!outcome || outcome->exit_code != 0) continue;
    std::vector<std::string_view> lines = Split(outcome->output, '\n');
    if (lines.size() < 2 || MinorNumber(std::string(lines[0])) < 0) continue;
    PythonInterpreter found{executable, std::string(lines[1]), std::string(lines[0])};
    by_minor.emplace(MinorNumber(found.version), found);
  }
  std::vector<PythonInterpreter> interpreters;
  for (auto entry = by_minor.rbegin(); entry != by_minor.rend(); ++entry) interpreters.push_back(entry->second);
  return interpreters;
}

std::vector<PythonInterpreter> ByNearness(std::vector<PythonInterpreter> installed, const std::string& wanted) {
  if (wanted.empty()) return installed;
  int target = MinorNumber(wanted);
  auto rank = [target](const PythonInterpreter& python) {
    int minor = MinorNumber(python.version);
    return std::pair(std::abs(minor - target), -minor);  // of two as near, the newer
  };
  std::sort(installed.begin(), installed.end(), [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  return installed;
}

}  // namespace sagebrush::control
