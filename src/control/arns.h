#pragma once

#include <string>
#include <string_view>

namespace sagebrush::control {

// How this installation names its resources: arn:aws:sagemaker:<region>:<account>:<kind>/<name>, where the kind is
// "training-job", "model", "endpoint-config" or "endpoint".
struct Arns {
  std::string account, region;

  std::string Prefix() const { return "arn:aws:sagemaker:" + region + ":" + account + ":"; }
  std::string Of(std::string_view kind, std::string_view name) const {
    return Prefix() + std::string(kind) + "/" + std::string(name);
  }
};

}  // namespace sagebrush::control
