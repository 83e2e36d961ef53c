#include "base/check.h"

#include <cstdio>
#include <cstdlib>

#include "base/log.h"

namespace sagebrush {

void CheckFailed(const char* file, int line, std::string_view condition) {
  std::fprintf(stderr, "CHECK failed at %s:%d: %.*s\n", file, line, static_cast<int>(condition.size()),
               condition.data());
  std::abort();
}

void BugFound(const char* file, int line, std::string_view condition) {
  Log(LogLevel::kError, "bug", {{"file", file}, {"line", line}, {"condition", condition}});
#ifdef SAGEBRUSH_FAILPOINTS
  CheckFailed(file, line, condition);
#endif
}

}  // namespace sagebrush
