#pragma once

#include "driver/driver.h"

namespace sagebrush::driver {

// Whether a spec with a service is one that can be run; every driver's Start asks. kInvalidArgument names what is
// wrong.
Result<void> CheckService(const InstanceSpec& spec);

}  // namespace sagebrush::driver
