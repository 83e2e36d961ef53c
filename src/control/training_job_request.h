#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "domain/training_job_plan.h"
#include "gen/sagemaker.h"

namespace sagebrush::control {

struct S3Uri {
  std::string bucket;
  std::string key;  // "" for the bucket itself
};
Result<S3Uri> ParseS3Uri(std::string_view uri);

// What the API model cannot state: combinations that the hosted service refuses, and the fields that Sagebrush does
// not honour, each refused by its name (docs/compatibility.md lists them). Code ValidationException.
Result<void> CheckTrainingJobRequest(const gen::sagemaker::CreateTrainingJobRequest& request);

domain::TrainingJobLimits LimitsOf(const gen::sagemaker::CreateTrainingJobRequest& request);

// CheckpointConfig.LocalPath or its default, without a slash at its end. The request has a CheckpointConfig.
std::string CheckpointPath(const gen::sagemaker::CreateTrainingJobRequest& request);

// "<S3OutputPath>/<job>/output"
std::string OutputPrefix(const gen::sagemaker::CreateTrainingJobRequest& request);
// S3ModelArtifacts: the archive, or the folder when CompressionType is NONE.
std::string ModelArtifactsUri(const gen::sagemaker::CreateTrainingJobRequest& request);

// Whether the hyperparameters enable MPI (`distribution={"mpi": {"enabled": True}}` of the SDK).
bool EnablesMpi(const gen::sagemaker::CreateTrainingJobRequest& request);

// The s3:// URI in the hyperparameter sagemaker_submit_directory; nullopt when there is none or it is no S3 URI.
std::optional<std::string> SubmitDirectory(const gen::sagemaker::CreateTrainingJobRequest& request);

}  // namespace sagebrush::control
