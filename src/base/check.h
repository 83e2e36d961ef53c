#pragma once

#include <string_view>

namespace sagebrush {

// Prints the broken invariant to standard error and aborts: a restart is the recovery path.
[[noreturn]] void CheckFailed(const char* file, int line, std::string_view condition);
// An invariant we are not sure of: logged and counted in a release, fatal where failpoints are compiled in.
void BugFound(const char* file, int line, std::string_view condition);

}  // namespace sagebrush

#define CHECK(condition)         \
  if (!(condition)) [[unlikely]] \
  ::sagebrush::CheckFailed(__FILE__, __LINE__, #condition)
#define BUG_IF(condition)     \
  if (condition) [[unlikely]] \
  ::sagebrush::BugFound(__FILE__, __LINE__, #condition)
