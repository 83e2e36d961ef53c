#pragma once

// A named place where a crash test kills the process, before or after a commit or an effect.
// SAGEBRUSH_FAILPOINT=<name>[@<n>] in the environment makes the n-th (default first) passage of FAILPOINT(name) end
// the process with SIGKILL; SAGEBRUSH_FAILPOINT_LOG=<file> appends every name passed, so that a campaign can
// enumerate them. Compiled out unless SAGEBRUSH_FAILPOINTS is defined: a release has none.
#ifdef SAGEBRUSH_FAILPOINTS
#include <string_view>
namespace sagebrush {
void PassFailpoint(std::string_view name);
}
#define FAILPOINT(name) ::sagebrush::PassFailpoint(name)
#else
#define FAILPOINT(name) static_cast<void>(0)
#endif
