#pragma once

#include <functional>
#include <string>

#include "base/clock.h"
#include "control/arns.h"
#include "control/training_job_table.h"
#include "control/training_metrics.h"
#include "gen/sagemaker.h"

namespace sagebrush::control {

// The API's view of training jobs: checks a request, commits one transaction, and wakes the reconciler; it causes
// nothing else. Requests have passed the API model's validation. Thread-safe; calls block.
class TrainingJobFrontend {
 public:
  struct Options {
    Arns arns;
    std::function<void(const JobName&)> wake;  // the reconciler
    TrainingMetrics* metrics = nullptr;        // outlives the frontend; nullptr: no metrics are kept
  };
  TrainingJobFrontend(TrainingJobTable& jobs, const Clock& clock, Options options);

  // Errors: ValidationException, ResourceInUse. Repeating the call with the same invocation id succeeds.
  Result<gen::sagemaker::CreateTrainingJobResponse> Create(gen::sagemaker::CreateTrainingJobRequest request,
                                                           const std::string& invocation_id);
  Result<gen::sagemaker::DescribeTrainingJobResponse> Describe(
      const gen::sagemaker::DescribeTrainingJobRequest& request);
  Result<gen::sagemaker::ListTrainingJobsResponse> List(const gen::sagemaker::ListTrainingJobsRequest& request);
  // ValidationException for a job that has ended. Stopping a stopping job succeeds.
  Result<gen::sagemaker::StopTrainingJobResponse> Stop(const gen::sagemaker::StopTrainingJobRequest& request);

  std::string ArnOf(const std::string& job_name) const { return options_.arns.Of("training-job", job_name); }

 private:
  TrainingJobTable& jobs_;
  const Clock& clock_;
  const Options options_;
};

}  // namespace sagebrush::control
