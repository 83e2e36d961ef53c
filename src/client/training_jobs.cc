#include "client/training_jobs.h"

#include <algorithm>
#include <utility>

#include "client/calls.h"
#include "gen/sagemaker.h"

namespace sagebrush::client {
namespace {

namespace sm = gen::sagemaker;

std::optional<int64_t> Ms(const std::optional<wire::Timestamp>& time) {
  if (!time) return std::nullopt;
  return time->ms;
}

void ReadResources(const sm::DescribeTrainingJobResponse& reply, TrainingJob& job) {
  if (!reply.ResourceConfig) return;
  const sm::ResourceConfig& resources = *reply.ResourceConfig;
  job.instance_type = resources.InstanceType.value_or("");
  job.instance_count = resources.InstanceCount.value_or(0);
  job.volume_gb = resources.VolumeSizeInGB.value_or(0);
  for (const sm::InstanceGroup& group : resources.InstanceGroups) {
    job.instance_count += group.InstanceCount;
    job.instance_type += (job.instance_type.empty() ? "" : "+") + group.InstanceType;
  }
}

void ReadLists(const sm::DescribeTrainingJobResponse& reply, TrainingJob& job) {
  for (const sm::SecondaryStatusTransition& transition : reply.SecondaryStatusTransitions) {
    job.transitions.push_back({.status = transition.Status,
                               .message = transition.StatusMessage.value_or(""),
                               .started_ms = transition.StartTime.ms,
                               .ended_ms = Ms(transition.EndTime)});
  }
  for (const sm::Channel& channel : reply.InputDataConfig) {
    const auto& s3 = channel.DataSource.S3DataSource;
    job.channels.push_back({.name = channel.ChannelName,
                            .s3_uri = s3 ? s3->S3Uri : "",
                            .input_mode = channel.InputMode.value_or(job.input_mode),
                            .content_type = channel.ContentType.value_or("")});
  }
}

// The only input is a name, so a refused one is a name that no job has.
Error UnknownJob(Error error, std::string_view name) {
  bool unknown = error.code == "ResourceNotFound" || error.code == "ValidationException";
  if (!unknown) return error;
  return NotFound("There is no training job named " + std::string(name) + ".", "ResourceNotFound");
}

}  // namespace

int64_t TrainingJob::DurationMs(int64_t now_ms) const {
  if (!created_ms) return 0;
  int64_t end = now_ms;
  if (terminal()) end = ended_ms ? *ended_ms : modified_ms.value_or(*created_ms);
  return std::max<int64_t>(end - *created_ms, 0);
}

Result<TrainingJob> DescribeTrainingJob(Transport& transport, std::string_view name) {
  sm::DescribeTrainingJobRequest request{.TrainingJobName = std::string(name)};
  auto body = CallSageMaker(transport, "DescribeTrainingJob", request);
  if (!body) return Fail(UnknownJob(std::move(body).error(), name));
  TRY(sm::DescribeTrainingJobResponse reply, ReadReply<sm::DescribeTrainingJobResponse>(*body));
  TrainingJob job;
  job.name = reply.TrainingJobName;
  job.arn = reply.TrainingJobArn;
  job.status = reply.TrainingJobStatus;
  job.secondary_status = reply.SecondaryStatus;
  job.failure_reason = reply.FailureReason.value_or("");
  if (reply.AlgorithmSpecification) {
    job.image = reply.AlgorithmSpecification->TrainingImage.value_or("");
    job.input_mode = reply.AlgorithmSpecification->TrainingInputMode;
  }
  job.role_arn = reply.RoleArn.value_or("");
  job.max_runtime_seconds = reply.StoppingCondition.MaxRuntimeInSeconds.value_or(0);
  job.created_ms = reply.CreationTime.ms;
  job.started_ms = Ms(reply.TrainingStartTime);
  job.ended_ms = Ms(reply.TrainingEndTime);
  job.modified_ms = Ms(reply.LastModifiedTime);
  job.hyperparameters = reply.HyperParameters;
  job.environment = reply.Environment;
  if (reply.OutputDataConfig) job.output_path = reply.OutputDataConfig->S3OutputPath;
  job.model_artifact = reply.ModelArtifacts.S3ModelArtifacts;
  ReadResources(reply, job);
  ReadLists(reply, job);
  job.json = *std::move(body);
  return job;
}

Result<std::vector<std::string>> ListTrainingJobs(Transport& transport, const ListQuery& query) {
  return ListNames<sm::ListTrainingJobsRequest>(transport, "ListTrainingJobs", query,
                                                &sm::ListTrainingJobsResponse::TrainingJobSummaries,
                                                &sm::TrainingJobSummary::TrainingJobName);
}

Result<void> StopTrainingJob(Transport& transport, std::string_view name) {
  sm::StopTrainingJobRequest request{.TrainingJobName = std::string(name)};
  TRYV(CallSageMaker(transport, "StopTrainingJob", request));
  return {};
}

LogSource TrainingJobLog(std::string_view name) { return {"/aws/sagemaker/TrainingJobs", std::string(name) + "/"}; }

}  // namespace sagebrush::client
