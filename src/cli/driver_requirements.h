#pragma once

#include <vector>

#include "cli/serve.h"
#include "driver/driver.h"

namespace sagebrush::cli {

// What the driver of an engine with these options needs from the machine, for `doctor`. Leaves the data directory
// as it is.
std::vector<driver::Requirement> DriverRequirements(const ServeOptions& options);

}  // namespace sagebrush::cli
