#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "driver/driver.h"
#include "io/file.h"

namespace sagebrush::driver {

// The limit on processor time, as version 2's file cpu.max has it.
std::string CpuMax(const ResourceLimits& limits);

// The control groups of one instance: memory, cpu and pids limits on whatever hierarchy of the machine carries them
// (version 1, version 2, or a mix). A limit that cannot be set is named in notes(), not an error: an ordinary user
// seldom may. Without a limit of CPUs the instance is one group for the scheduler all the same. Only the instance's
// programs join, not its init. The kernel frees a group's directory once it is empty; Remove() does that for an
// instance whose processes are gone.
class Cgroup {
 public:
  // `name` is unique on the machine and a file name.
  static Cgroup Create(const std::string& name, const ResourceLimits& limits);
  // Removes the groups of that name wherever they are. Fine when there are none.
  static void Remove(const std::string& name);

  // Processor time and memory of the groups of that name, as far as this machine's hierarchies count them.
  struct Counted {
    std::optional<int64_t> cpu_ns, memory_bytes;  // memory without the file cache that the kernel may drop
  };
  static Counted Count(const std::string& name);

  // The calling process joins. Works after privileges were dropped: the descriptors were opened before.
  Result<void> Join() const;
  void AppendDescriptors(std::vector<int>& out) const {
    for (const io::UniqueFd& fd : joins_) out.push_back(fd.get());
  }
  // True when the kernel killed a process of the group for its memory limit.
  bool KilledForMemory() const;
  bool limits_memory() const { return !memory_events_.empty(); }
  bool limits_pids() const { return limits_pids_; }
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  std::vector<io::UniqueFd> joins_;
  std::filesystem::path memory_events_;
  bool limits_pids_ = false;
  std::vector<std::string> notes_;
};

}  // namespace sagebrush::driver
