#pragma once

#include <vector>

#include "base/result.h"
#include "driver/driver.h"
#include "gen/sagemaker.h"
#include "objstore/object_store.h"

namespace sagebrush::control {

// Puts what the instances of a job left into the bucket of OutputDataConfig, below <S3OutputPath>/<job>/output:
// model.tar.gz (or model/… when CompressionType is NONE; only `with_model`) and output.tar.gz when there is any output.
// What several hosts left is merged; of files of one name the lowest rank's stays. Each object appears whole or not at
// all, and the instances keep their files, so that repeating the call after a crash is safe. Returns whether a model
// was published.
Result<bool> Publish(objstore::ObjectStore& objects, const gen::sagemaker::CreateTrainingJobRequest& request,
                     const std::vector<driver::InstanceStatus>& instances, bool with_model);

}  // namespace sagebrush::control
