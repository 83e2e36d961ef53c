#include "driver/sandbox/cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <functional>
#include <map>
#include <thread>

#include "base/text.h"

namespace sagebrush::driver {
namespace {

namespace fs = std::filesystem;

constexpr char kParent[] = "sagebrush";
constexpr int64_t kPeriodUs = 100'000;

struct Hierarchies {
  std::map<std::string, fs::path> v1;  // controller → mount point
  fs::path v2;                         // empty when not mounted
};

Hierarchies FindHierarchies() {
  Hierarchies found;
  Result<std::string> mounts = io::ReadFile("/proc/self/mounts");
  if (!mounts) return found;
  for (std::string_view line : Split(*mounts, '\n')) {
    std::vector<std::string_view> fields = Split(line, ' ');
    if (fields.size() < 4) continue;
    if (fields[2] == "cgroup2") found.v2 = fs::path(fields[1]);
    if (fields[2] != "cgroup") continue;
    for (std::string_view option : Split(fields[3], ',')) {
      if (option == "memory" || option == "cpu" || option == "pids")
        found.v1[std::string(option)] = fs::path(fields[1]);
    }
  }
  return found;
}

Result<void> WriteControl(const fs::path& file, const std::string& value) {
  TRY(io::UniqueFd fd, io::Open(file, O_WRONLY));
  if (::write(fd.get(), value.data(), value.size()) < 0) return Fail(FromErrno(errno, "cannot write " + file.string()));
  return {};
}

// The parent may be removed by another instance's clean-up between the two mkdirs, hence the second round.
Result<fs::path> MakeGroup(const fs::path& hierarchy, const std::string& name,
                           const std::function<void(const fs::path&)>& prepare_parent = {}) {
  fs::path parent = hierarchy / kParent, group = parent / name;
  for (int round = 0; round < 3; ++round) {
    if (::mkdir(parent.c_str(), 0755) != 0 && errno != EEXIST) break;
    if (prepare_parent) prepare_parent(parent);
    if (::mkdir(group.c_str(), 0755) == 0 || errno == EEXIST) return group;
    if (errno != ENOENT) break;
  }
  return Fail(FromErrno(errno, "cannot make " + group.string()));
}

// The number in a file that holds nothing else.
std::optional<int64_t> ReadCount(const fs::path& file) {
  Result<std::string> text = io::ReadFile(file);
  if (!text) return std::nullopt;
  while (text->ends_with('\n')) text->pop_back();
  return ParseInt(*text);
}

// The number after `name` in a file of lines "name number".
std::optional<int64_t> ReadCount(const fs::path& file, std::string_view name) {
  Result<std::string> text = io::ReadFile(file);
  if (!text) return std::nullopt;
  for (std::string_view line : Split(*text, '\n')) {
    if (line.starts_with(name) && line.size() > name.size() && line[name.size()] == ' ') {
      return ParseInt(line.substr(name.size() + 1));
    }
  }
  return std::nullopt;
}

std::string CpuQuota(double vcpus) { return std::to_string(std::max<int64_t>(1000, std::llround(vcpus * kPeriodUs))); }

bool LimitsCpu(const ResourceLimits& limits) {
  return limits.vcpus > 0 && limits.vcpus < std::thread::hardware_concurrency();
}

}  // namespace

std::string CpuMax(const ResourceLimits& limits) {
  return (LimitsCpu(limits) ? CpuQuota(limits.vcpus) : "max") + " " + std::to_string(kPeriodUs);
}

Cgroup Cgroup::Create(const std::string& name, const ResourceLimits& limits) {
  Cgroup cgroup;
  Hierarchies hierarchies = FindHierarchies();
  fs::path v2_group;
  auto enable = [&](const fs::path& parent) {
    for (const char* controller : {"+memory", "+cpu", "+pids"}) {
      static_cast<void>(WriteControl(hierarchies.v2 / "cgroup.subtree_control", controller));
      static_cast<void>(WriteControl(parent / "cgroup.subtree_control", controller));
    }
  };
  std::string v2_failure = "no cgroup hierarchy is mounted";
  if (!hierarchies.v2.empty()) {
    Result<fs::path> group = MakeGroup(hierarchies.v2, name, enable);
    if (group) {
      v2_group = *group;
    } else {
      v2_failure = group.error().message;
    }
  }

  auto join = [&](const fs::path& file) {
    Result<io::UniqueFd> fd = io::Open(file, O_WRONLY);
    if (fd) cgroup.joins_.push_back(std::move(*fd));
    return fd.has_value();
  };
  // Sets one limit through the hierarchy that has the controller; true when it holds.
  auto limit = [&](const std::string& controller, const std::string& v1_file, const std::string& v1_value,
                   const std::string& v2_file, const std::string& v2_value) {
    Result<void> set = Fail(Error(ErrorKind::kUnavailable, v2_failure));
    if (auto v1 = hierarchies.v1.find(controller); v1 != hierarchies.v1.end()) {
      Result<fs::path> group = MakeGroup(v1->second, name);
      set = group ? WriteControl(*group / v1_file, v1_value) : Fail(group.error());
      if (set && !join(*group / "tasks")) set = Fail(Error(ErrorKind::kUnavailable, "cannot join " + group->string()));
      if (set && controller == "memory") cgroup.memory_events_ = *group / "memory.oom_control";
    } else if (!v2_group.empty()) {
      set = WriteControl(v2_group / v2_file, v2_value);
      if (set && controller == "memory") cgroup.memory_events_ = v2_group / "memory.events";
    }
    if (!set) cgroup.notes_.push_back("no " + controller + " limit on this machine: " + set.error().message);
    return set.has_value();
  };

  if (limits.memory_bytes > 0) {
    std::string bytes = std::to_string(limits.memory_bytes);
    if (limit("memory", "memory.limit_in_bytes", bytes, "memory.max", bytes) && !v2_group.empty() &&
        !hierarchies.v1.contains("memory")) {
      static_cast<void>(WriteControl(v2_group / "memory.swap.max", "0"));  // absent without swap accounting
    }
  }
  if (LimitsCpu(limits)) {
    limit("cpu", "cpu.cfs_quota_us", CpuQuota(limits.vcpus), "cpu.max", CpuMax(limits));
  } else if (auto v1 = hierarchies.v1.find("cpu"); v1 != hierarchies.v1.end()) {
    // A group makes the scheduler take the instance for one thing. Without, it weighs session against session, and
    // processes of several that wake each other, as a program and its parameter server do, lose up to a third of their
    // speed on a busy machine.
    if (Result<fs::path> group = MakeGroup(v1->second, name)) join(*group / "tasks");
  }
  if (limits.pids > 0) {
    std::string count = std::to_string(limits.pids);
    cgroup.limits_pids_ = limit("pids", "pids.max", count, "pids.max", count);
  }
  if (!v2_group.empty()) join(v2_group / "cgroup.procs");
  return cgroup;
}

void Cgroup::Remove(const std::string& name) {
  Hierarchies hierarchies = FindHierarchies();
  std::vector<fs::path> mounts;
  for (const auto& [controller, mount] : hierarchies.v1) mounts.push_back(mount);
  if (!hierarchies.v2.empty()) mounts.push_back(hierarchies.v2);
  for (const fs::path& mount : mounts) {
    fs::path group = mount / kParent / name;
    // A dying process leaves its group a moment after it was reaped.
    for (int attempt = 0; attempt < 200 && ::rmdir(group.c_str()) != 0 && errno == EBUSY; ++attempt) ::usleep(1000);
    ::rmdir((mount / kParent).c_str());  // succeeds for the last one only
  }
}

Cgroup::Counted Cgroup::Count(const std::string& name) {
  Hierarchies hierarchies = FindHierarchies();
  Counted counted;
  std::optional<int64_t> cache;
  auto v1 = [&](const char* controller) { return hierarchies.v1.at(controller) / kParent / name; };
  if (!hierarchies.v2.empty()) {
    fs::path group = hierarchies.v2 / kParent / name;
    // There whatever controllers are enabled.
    if (auto used_us = ReadCount(group / "cpu.stat", "usage_usec")) counted.cpu_ns = *used_us * 1000;
    counted.memory_bytes = ReadCount(group / "memory.current");
    cache = ReadCount(group / "memory.stat", "inactive_file");
  }
  // Mounted together with cpu as a rule; mounted alone, no instance joins it.
  if (!counted.cpu_ns && hierarchies.v1.contains("cpu")) counted.cpu_ns = ReadCount(v1("cpu") / "cpuacct.usage");
  if (!counted.memory_bytes && hierarchies.v1.contains("memory")) {
    counted.memory_bytes = ReadCount(v1("memory") / "memory.usage_in_bytes");
    cache = ReadCount(v1("memory") / "memory.stat", "total_inactive_file");
  }
  if (counted.memory_bytes) counted.memory_bytes = std::max<int64_t>(*counted.memory_bytes - cache.value_or(0), 0);
  return counted;
}

Result<void> Cgroup::Join() const {
  for (const io::UniqueFd& fd : joins_) {
    if (::write(fd.get(), "0", 1) != 1) return Fail(FromErrno(errno, "cannot join the instance's control group"));
  }
  return {};
}

bool Cgroup::KilledForMemory() const {
  if (memory_events_.empty()) return false;
  Result<std::string> events = io::ReadFile(memory_events_);
  if (!events) return false;
  for (std::string_view line : Split(*events, '\n')) {
    if (line.starts_with("oom_kill ") && ParseInt(line.substr(9)).value_or(0) > 0) return true;
  }
  return false;
}

}  // namespace sagebrush::driver
