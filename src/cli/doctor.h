#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/config.h"
#include "cli/terminal.h"
#include "driver/driver.h"

namespace sagebrush::cli {

using driver::Requirement;

// What the machine has to offer an engine with this configuration, beside what the driver needs (which looks at the
// kernel, the agent program and the disk itself). Looks only; changes nothing and needs no running engine.
std::vector<Requirement> CheckMachine(const Configuration& configuration);

// Prints the list with the command that mends each; kFailed when a mandatory one is missing.
int ReportRequirements(Terminal& terminal, const std::vector<Requirement>& requirements, bool json);

}  // namespace sagebrush::cli
