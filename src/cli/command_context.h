#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "cli/terminal.h"
#include "client/transport.h"

namespace sagebrush::cli {

// What a command that asks the engine works with. Each command returns the process's exit code (ExitCode) and prints
// through the terminal only.
struct CommandContext {
  Terminal& terminal;
  client::Transport& engine;
  client::Waiter& waiter;
  const Clock& clock;
};

inline constexpr std::string_view kEngineFound = "sagebrush: the engine is back.";

// A kind of thing that users name on the command line.
struct NamedThings {
  std::string_view plural;        // "training jobs"
  std::string_view list_command;  // "sagebrush jobs"
  std::function<Result<std::vector<std::string>>(client::Transport&, size_t limit)> newest;
};

// Reports an error of a call about the thing `name`; for an unknown one, with names that may have been meant.
int FailForName(CommandContext& context, const std::string& name, const Error& error, const NamedThings& things);

}  // namespace sagebrush::cli
