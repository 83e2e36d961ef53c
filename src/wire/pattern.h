#pragma once

#include <string_view>

namespace sagebrush::wire {

// Whether the whole of `text` (UTF-8) matches an API model's pattern, which is in Java's syntax. Compiled once per
// pattern and process; matching is bounded in steps and memory, and text that exceeds the bound does not match. The
// pattern must be one of the generated tables' constants: one that does not compile is a broken invariant. Thread-safe.
bool MatchesPattern(std::string_view pattern, std::string_view text);

}  // namespace sagebrush::wire
