#pragma once

#include <filesystem>

namespace sagebrush::io {

// How many threads of this process can run at once: its affinity mask, and the CPU quota of its container where one is
// mounted at `cgroup` (v2's cpu.max, v1's cpu.cfs_quota_us), rounded up. At least 1.
int UsableCores(const std::filesystem::path& cgroup = "/sys/fs/cgroup");

}  // namespace sagebrush::io
