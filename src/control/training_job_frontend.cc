#include "control/training_job_frontend.h"

#include "control/refusals.h"
#include "control/training_job_request.h"

namespace sagebrush::control {
namespace {

namespace sm = gen::sagemaker;

std::vector<sm::SecondaryStatusTransition> TransitionsOf(const domain::TrainingJobState& state) {
  std::vector<sm::SecondaryStatusTransition> transitions;
  for (const domain::Transition& transition : state.transitions) {
    sm::SecondaryStatusTransition shown;
    shown.Status = ToString(transition.status);
    shown.StartTime.ms = transition.start_ms;
    if (transition.end_ms != 0) shown.EndTime = wire::Timestamp{transition.end_ms};
    shown.StatusMessage = transition.message;
    transitions.push_back(std::move(shown));
  }
  return transitions;
}

void DescribeRequest(const sm::CreateTrainingJobRequest& request, sm::DescribeTrainingJobResponse& response) {
  response.TrainingJobName = request.TrainingJobName;
  response.HyperParameters = request.HyperParameters;
  response.AlgorithmSpecification = request.AlgorithmSpecification;
  response.RoleArn = request.RoleArn;
  response.InputDataConfig = request.InputDataConfig;
  response.OutputDataConfig = request.OutputDataConfig;
  // The SDK's attach reads KmsKeyId without a guard.
  if (!response.OutputDataConfig->KmsKeyId) response.OutputDataConfig->KmsKeyId = "";
  if (!response.OutputDataConfig->CompressionType) response.OutputDataConfig->CompressionType = "GZIP";
  response.ResourceConfig = request.ResourceConfig;
  response.VpcConfig = request.VpcConfig;
  response.StoppingCondition = request.StoppingCondition.value_or(sm::StoppingCondition{});
  if (!response.StoppingCondition.MaxRuntimeInSeconds) response.StoppingCondition.MaxRuntimeInSeconds = 86'400;
  response.EnableNetworkIsolation = request.EnableNetworkIsolation.value_or(false);
  response.EnableInterContainerTrafficEncryption = request.EnableInterContainerTrafficEncryption.value_or(false);
  response.EnableManagedSpotTraining = request.EnableManagedSpotTraining.value_or(false);
  response.CheckpointConfig = request.CheckpointConfig;
  response.RetryStrategy = request.RetryStrategy;
  response.DebugHookConfig = request.DebugHookConfig;
  response.ExperimentConfig = request.ExperimentConfig;
  response.ProfilerConfig = request.ProfilerConfig;
  response.Environment = request.Environment;
  response.InfraCheckConfig = request.InfraCheckConfig;
  response.RemoteDebugConfig = request.RemoteDebugConfig;
}

void DescribeState(const domain::TrainingJobState& state, sm::DescribeTrainingJobResponse& response) {
  response.TrainingJobStatus = ToString(state.status);
  response.SecondaryStatus = ToString(state.secondary());
  if (!state.failure_reason().empty()) response.FailureReason = state.failure_reason();
  response.ModelArtifacts.S3ModelArtifacts = state.model_artifacts;
  response.CreationTime.ms = state.created_ms;
  response.LastModifiedTime = wire::Timestamp{state.modified_ms};
  response.SecondaryStatusTransitions = TransitionsOf(state);
  if (state.training_started_ms != 0) response.TrainingStartTime = wire::Timestamp{state.training_started_ms};
  if (!IsFinal(state.status)) return;
  response.TrainingEndTime =
      wire::Timestamp{state.training_ended_ms != 0 ? state.training_ended_ms : state.modified_ms};
  if (state.training_started_ms != 0) {
    int64_t ran_ms = std::max<int64_t>(response.TrainingEndTime->ms - state.training_started_ms, 0);
    response.TrainingTimeInSeconds = std::max<int64_t>((ran_ms + 999) / 1000, 1);
    response.BillableTimeInSeconds = response.TrainingTimeInSeconds;
  }
}

}  // namespace

TrainingJobFrontend::TrainingJobFrontend(TrainingJobTable& jobs, const Clock& clock, Options options)
    : jobs_(jobs), clock_(clock), options_(std::move(options)) {}

Result<sm::CreateTrainingJobResponse> TrainingJobFrontend::Create(sm::CreateTrainingJobRequest request,
                                                                  const std::string& invocation_id) {
  TRYV(CheckTrainingJobRequest(request));
  // Absent, the hosted service uses a default volume; the SDK's attach reads the field without a guard.
  if (!request.ResourceConfig->VolumeSizeInGB) request.ResourceConfig->VolumeSizeInGB = 30;
  TrainingJobRecord record{std::move(request), domain::NewTrainingJobState(clock_.NowMs())};
  std::string arn = ArnOf(record.request.TrainingJobName);
  TRYV(jobs_.Insert(record, arn, invocation_id));
  options_.wake(JobName(record.request.TrainingJobName));
  return sm::CreateTrainingJobResponse{arn};
}

Result<sm::DescribeTrainingJobResponse> TrainingJobFrontend::Describe(const sm::DescribeTrainingJobRequest& request) {
  TRY(TrainingJobRecord record, jobs_.Get(JobName(request.TrainingJobName)));
  sm::DescribeTrainingJobResponse response;
  response.TrainingJobArn = ArnOf(request.TrainingJobName);
  DescribeRequest(record.request, response);
  DescribeState(record.state, response);
  if (options_.metrics != nullptr) {
    TRY(response.FinalMetricDataList, options_.metrics->LastValues(record.request));
  }
  return response;
}

Result<sm::ListTrainingJobsResponse> TrainingJobFrontend::List(const sm::ListTrainingJobsRequest& request) {
  if (request.WarmPoolStatusEquals || request.TrainingPlanArnEquals) {
    return Fail(Invalid(std::string(request.WarmPoolStatusEquals ? "WarmPoolStatusEquals" : "TrainingPlanArnEquals") +
                        " is not supported by Sagebrush: jobs start in milliseconds without warm pools or plans."));
  }
  return jobs_.List(request, [this](const std::string& name) { return ArnOf(name); });
}

Result<sm::StopTrainingJobResponse> TrainingJobFrontend::Stop(const sm::StopTrainingJobRequest& request) {
  JobName name(request.TrainingJobName);
  int64_t now_ms = clock_.NowMs();
  TRYV(jobs_.Update(name, [&](domain::TrainingJobState& state) -> Result<void> {
    if (IsFinal(state.status)) {
      return Fail(Invalid("The request was rejected because the training job is in status " +
                          std::string(ToString(state.status)) + "."));
    }
    if (state.outcome || state.stop_cause != domain::StopCause::kNone) return {};  // it is ending already
    state.stop_cause = domain::StopCause::kRequested;
    return Advance(state, domain::SecondaryStatus::kStopping, "Stopping the training job", now_ms);
  }));
  options_.wake(name);
  return sm::StopTrainingJobResponse{};
}

}  // namespace sagebrush::control
