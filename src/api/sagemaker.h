#pragma once

#include "api/json_service.h"
#include "control/endpoint_config_frontend.h"
#include "control/model_frontend.h"
#include "control/tag_frontend.h"
#include "control/training_job_frontend.h"

namespace sagebrush::api {

// What Amazon SageMaker's operations act on.
struct SageMakerResources {
  control::TrainingJobFrontend& training_jobs;
  control::ModelFrontend& models;
  control::EndpointConfigFrontend& endpoint_configs;
  control::TagFrontend& tags;
};

// Amazon SageMaker, X-Amz-Target prefix "SageMaker".
void RegisterSageMaker(JsonService& service, const SageMakerResources& resources);

}  // namespace sagebrush::api
