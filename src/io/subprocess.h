#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace sagebrush::io {

struct CommandOutcome {
  int exit_code = 0;   // 128 + signal when a signal ended it
  std::string output;  // standard output and standard error, interleaved, the last 64 KiB
};

struct Command {
  std::vector<std::string> argv;                                 // argv[0] is looked up in PATH
  std::vector<std::pair<std::string, std::string>> environment;  // added to the caller's
  std::string working_directory;                                 // empty: the caller's
  std::chrono::seconds deadline{1800};                           // then SIGKILL to its process group
  const std::atomic<bool>* cancelled = nullptr;                  // looked at five times a second; true: SIGKILL too
  std::function<void(std::string_view)> on_line;                 // shown each line of the output as it comes
};

// Runs to the end; blocks the calling thread. An error means that it could not be started, passed its deadline
// (kDeadlineExceeded) or was cancelled (kCancelled);
// a non-zero exit is no error. The child is a process group of its own and dies with this process.
Result<CommandOutcome> Run(const Command& command);

}  // namespace sagebrush::io
