#pragma once

#include "base/result.h"

namespace sagebrush::driver {

// Makes the calling process what a program of an instance is: few capabilities (those that package managers and
// servers running as root inside need, all of them over the instance's own user namespace only), no way to gain any,
// and a system call filter that refuses mounts, namespaces, tracing, keys, modules, clocks and io_uring. A refused
// call gives EPERM; clone3 gives ENOSYS so that libc falls back to clone, whose flags can be checked.
Result<void> DropPrivileges();

}  // namespace sagebrush::driver
