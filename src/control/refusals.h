#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace sagebrush::control {

// A request that the API model allows and that is wrong all the same.
inline Error Invalid(std::string message) { return InvalidArgument(std::move(message), "ValidationException"); }

// A field, by its name, that Sagebrush does not honour (docs/compatibility.md lists them).
inline Error NotHonoured(std::string_view field, std::string_view instead = "leave it out") {
  return Invalid(std::string(field) + " is not supported by Sagebrush: " + std::string(instead) + ".");
}

}  // namespace sagebrush::control
