#include "api/sagemaker.h"

#include "gen/sagemaker.h"

namespace sagebrush::api {

namespace sm = gen::sagemaker;

void RegisterSageMaker(JsonService& service, control::TrainingJobFrontend& jobs) {
  service.Register<sm::CreateTrainingJobRequest, sm::CreateTrainingJobResponse>(
      "CreateTrainingJob",
      [&jobs](const auto& request, const CallContext& context) { return jobs.Create(request, context.invocation_id); });
  service.Register<sm::DescribeTrainingJobRequest, sm::DescribeTrainingJobResponse>(
      "DescribeTrainingJob", [&jobs](const auto& request, const CallContext&) { return jobs.Describe(request); });
  service.Register<sm::ListTrainingJobsRequest, sm::ListTrainingJobsResponse>(
      "ListTrainingJobs", [&jobs](const auto& request, const CallContext&) { return jobs.List(request); });
  service.Register<sm::StopTrainingJobRequest, sm::StopTrainingJobResponse>(
      "StopTrainingJob", [&jobs](const auto& request, const CallContext&) { return jobs.Stop(request); });
  service.Register<sm::ListTagsInput, sm::ListTagsOutput>(
      "ListTags", [&jobs](const auto& request, const CallContext&) { return jobs.ListTags(request); });
  service.Register<sm::AddTagsInput, sm::AddTagsOutput>(
      "AddTags", [&jobs](const auto& request, const CallContext&) { return jobs.AddTags(request); });
  service.Register<sm::DeleteTagsInput, sm::DeleteTagsOutput>(
      "DeleteTags", [&jobs](const auto& request, const CallContext&) { return jobs.DeleteTags(request); });
}

}  // namespace sagebrush::api
