#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "gen/sagemaker.h"

namespace sagebrush::control {

// What the API model cannot state: one container with an image, artifacts that are an archive in S3, and the fields
// that Sagebrush does not honour, each refused by its name (docs/compatibility.md lists them). Code
// ValidationException. Whether the catalogue knows the image is found out when an endpoint starts.
Result<void> CheckModelRequest(const gen::sagemaker::CreateModelInput& request);

// The one container, wherever the request (checked) names it: PrimaryContainer, or the only one of Containers.
const gen::sagemaker::ContainerDefinition& ContainerOf(const gen::sagemaker::CreateModelInput& request);

// The s3:// URI of the model's archive (tar.gz), of a container that was checked; nullopt for a model without one.
std::optional<std::string> ModelDataUrlOf(const gen::sagemaker::ContainerDefinition& container);

}  // namespace sagebrush::control
