#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "driver/driver.h"

namespace sagebrush::driver {

// The forms of spec.json and status.json in an instance's directory. Every field is written; a reader accepts absent
// fields (their defaults) and ignores unknown ones, so that an agent and an engine of neighbouring versions understand
// each other. A malformed document is kDataLoss.
std::string SpecToJson(const InstanceSpec& spec);
Result<InstanceSpec> SpecFromJson(std::string_view json);
std::string StatusToJson(const InstanceStatus& status);
Result<InstanceStatus> StatusFromJson(std::string_view json);

std::string_view ToString(Phase phase);

}  // namespace sagebrush::driver
