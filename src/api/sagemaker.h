#pragma once

#include "api/json_service.h"
#include "control/training_job_frontend.h"

namespace sagebrush::api {

// Amazon SageMaker, X-Amz-Target prefix "SageMaker".
void RegisterSageMaker(JsonService& service, control::TrainingJobFrontend& training_jobs);

}  // namespace sagebrush::api
