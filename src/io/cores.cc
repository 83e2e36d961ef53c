#include "io/cores.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <optional>
#include <string>
#include <thread>

#include "base/text.h"

namespace sagebrush::io {
namespace {

int AllowedCores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return static_cast<int>(std::thread::hardware_concurrency());  // more of them than the mask holds
}

std::optional<int64_t> NumberIn(const std::filesystem::path& file) {
  std::string word;
  std::ifstream(file) >> word;
  return ParseInt(word);
}

// In cores; nullopt without a quota.
std::optional<double> Quota(const std::filesystem::path& cgroup) {
  std::string quota, period;
  std::ifstream(cgroup / "cpu.max") >> quota >> period;
  std::optional<int64_t> used = ParseInt(quota), of = ParseInt(period);
  if (quota.empty()) {
    used = NumberIn(cgroup / "cpu/cpu.cfs_quota_us");
    of = NumberIn(cgroup / "cpu/cpu.cfs_period_us");
  }
  if (!used || !of || *used <= 0 || *of <= 0) return std::nullopt;
  return static_cast<double>(*used) / static_cast<double>(*of);
}

}  // namespace

int UsableCores(const std::filesystem::path& cgroup) {
  int cores = std::max(1, AllowedCores());
  std::optional<double> quota = Quota(cgroup);
  return quota ? std::clamp(static_cast<int>(std::ceil(*quota)), 1, cores) : cores;
}

}  // namespace sagebrush::io
