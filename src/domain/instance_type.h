#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sagebrush::domain {

// What an "ml.*" instance type offers, for resource limits.
struct InstanceType {
  std::string name;
  double vcpus = 0;
  int64_t memory_bytes = 0;
  int gpus = 0;
};

// Derived from the type's family and size (m: 4 GiB a vCPU, c: 2, r: 8, …). kInvalidArgument for a name that has not
// the form ml.<family>.<size> or a family of accelerators that are no GPUs.
Result<InstanceType> ParseInstanceType(std::string_view name);

// The same for a type without GPUs; kInvalidArgument for one with them, as Sagebrush runs on CPUs.
Result<InstanceType> ParseCpuInstanceType(std::string_view name);

}  // namespace sagebrush::domain
