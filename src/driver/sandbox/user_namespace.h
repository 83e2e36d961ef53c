#pragma once

#include <sys/types.h>

#include "base/result.h"
#include "io/file.h"

namespace sagebrush::driver {

// A user namespace whose ids 0 to 65535 are `first_uid`… and `first_gid`… outside. Needs root. Used twice: a program
// of an instance enters it last, so that root inside is nobody outside; and file trees that belong to root are shown
// in instances through it (idmapped mounts) as belonging to root inside.
Result<io::UniqueFd> MakeUserNamespace(uid_t first_uid, gid_t first_gid);

// The calling process (single-threaded) enters a new user namespace in which it is root and nobody else exists.
// Needs no privilege. `more_namespaces` are CLONE_NEW… flags of namespaces that shall belong to it.
Result<void> EnterOwnUserNamespace(int more_namespaces);

// An id range for MakeUserNamespace, as /proc/PID/uid_map counts.
inline constexpr unsigned kMappedIds = 65536;

}  // namespace sagebrush::driver
