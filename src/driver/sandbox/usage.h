#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "driver/driver.h"
#include "driver/sandbox/instance_files.h"

namespace sagebrush::driver {

// What the processes below `root` (an instance's init) use by the kernel's table of processes, for machines whose
// control groups do not tell. Memory that processes share counts for each of them. disk_bytes stays 0.
InstanceUsage UsageOfProcesses(pid_t root);

// What lies on disk in the instance's private layers, /opt/ml and archives; links to stored objects are not its own.
// Looks at a bounded number of files to a bounded depth: an instance with more uses more than this.
int64_t DiskUsage(const InstanceFiles& files);

}  // namespace sagebrush::driver
