#pragma once

#include <functional>
#include <vector>

#include "cli/serve.h"
#include "cli/terminal.h"
#include "driver/driver.h"

namespace sagebrush::cli {

// What the command line starts but does not contain, so that it can be tested without an engine.
struct Hooks {
  std::function<int(const ServeOptions&)> serve;
  // The driver's needs, for `doctor`.
  std::function<std::vector<driver::Requirement>(const ServeOptions&)> driver_requirements;
};

// The whole `sagebrush` command; returns the process's exit code.
int Main(int argc, const char* const* argv, Terminal& terminal, const Hooks& hooks);

}  // namespace sagebrush::cli
