#include "driver/sandbox/usage.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <system_error>
#include <vector>

#include "base/text.h"

namespace sagebrush::driver {
namespace {

namespace fs = std::filesystem;

constexpr int kMostFiles = 50'000;  // some 50 ms
constexpr int kDeepest = 64;        // each level is an open directory of the engine's
constexpr int64_t kBlockBytes = 512;

struct Process {
  pid_t parent = 0;
  int64_t cpu_ns = 0;  // its own, and of its children that ended and were waited for
  int64_t pages = 0;
};

int64_t TickNs() {
  static const int64_t ns = 1'000'000'000 / ::sysconf(_SC_CLK_TCK);
  return ns;
}

// What the first thread has used, to the nanosecond: a process that is young or rests has not filled a tick yet. 0
// where the kernel does not tell.
int64_t FirstThreadNs(const std::string& pid) {
  Result<std::string> schedstat = io::ReadFile("/proc/" + pid + "/schedstat");
  if (!schedstat) return 0;
  return ParseInt(std::string_view(*schedstat).substr(0, schedstat->find(' '))).value_or(0);
}

std::optional<Process> ReadProcess(const std::string& pid) {
  Result<std::string> stat = io::ReadFile("/proc/" + pid + "/stat");
  if (!stat) return std::nullopt;
  // The command name may hold anything; the fields after its last parenthesis do not. The first of them is field 3.
  size_t at = stat->rfind(')');
  if (at == std::string::npos || at + 2 > stat->size()) return std::nullopt;
  std::vector<std::string_view> fields = Split(std::string_view(*stat).substr(at + 2), ' ');
  if (fields.size() < 22) return std::nullopt;
  auto field = [&](size_t number) { return ParseInt(fields[number - 3]).value_or(0); };
  int64_t cpu_ns = (field(14) + field(15) + field(16) + field(17)) * TickNs();
  return Process{static_cast<pid_t>(field(4)), std::max(cpu_ns, FirstThreadNs(pid)), field(24)};
}

bool IsBelow(const std::map<pid_t, Process>& all, pid_t pid, pid_t root) {
  // Steps are bounded: numbers may be used again while the table is read.
  for (int step = 0; step < 1000; ++step) {
    if (pid == root) return true;
    auto found = all.find(pid);
    if (found == all.end()) return false;
    pid = found->second.parent;
  }
  return false;
}

// Directories that cannot be read (their owner took the right away) count as empty.
void AddTree(const fs::path& top, int& files, int64_t& bytes) {
  std::error_code error;
  auto options = fs::directory_options::skip_permission_denied;
  for (fs::recursive_directory_iterator entry(top, options, error), end; !error && entry != end;
       entry.increment(error)) {
    if (++files > kMostFiles) return;
    if (entry.depth() >= kDeepest) entry.disable_recursion_pending();
    struct stat info{};
    if (::lstat(entry->path().c_str(), &info) == 0) bytes += info.st_blocks * kBlockBytes;
  }
}

}  // namespace

InstanceUsage UsageOfProcesses(pid_t root) {
  std::map<pid_t, Process> all;
  std::error_code error;
  for (fs::directory_iterator entry("/proc", error), end; !error && entry != end; entry.increment(error)) {
    std::string name = entry->path().filename().native();
    std::optional<int64_t> pid = ParseInt(name);
    if (!pid) continue;
    if (std::optional<Process> process = ReadProcess(name)) all[static_cast<pid_t>(*pid)] = *process;
  }
  static const int64_t page_bytes = ::sysconf(_SC_PAGESIZE);
  InstanceUsage usage;
  for (const auto& [pid, process] : all) {
    if (!IsBelow(all, pid, root)) continue;
    usage.cpu_ns += process.cpu_ns;
    usage.memory_bytes += process.pages * page_bytes;
  }
  return usage;
}

int64_t DiskUsage(const InstanceFiles& files) {
  int64_t bytes = 0;
  int seen = 0;
  for (const fs::path& top : {files.root() / "up", files.root() / "layers", files.ml(), files.artifacts()}) {
    AddTree(top, seen, bytes);
  }
  return bytes;
}

}  // namespace sagebrush::driver
