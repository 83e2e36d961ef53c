#include "api/sagemaker.h"

#include "gen/sagemaker.h"

namespace sagebrush::api {
namespace {

namespace sm = gen::sagemaker;

// Operations that need nothing of the call but its request.
template <class Frontend, class Request, class Reply>
void Add(JsonService& service, std::string operation, Frontend& frontend,
         Result<Reply> (Frontend::*handler)(const Request&)) {
  service.Register<Request, Reply>(
      std::move(operation),
      [&frontend, handler](const Request& request, const CallContext&) { return (frontend.*handler)(request); });
}

// Operations that create, once per call however often a client sends it.
template <class Frontend, class Request, class Reply>
void Add(JsonService& service, std::string operation, Frontend& frontend,
         Result<Reply> (Frontend::*handler)(Request, const std::string& invocation_id)) {
  service.Register<Request, Reply>(std::move(operation),
                                   [&frontend, handler](const Request& request, const CallContext& context) {
                                     return (frontend.*handler)(request, context.invocation_id);
                                   });
}

// There are none and nothing makes one; the SDK asks before it deletes an endpoint.
Result<sm::ListMonitoringSchedulesResponse> ListMonitoringSchedules(const sm::ListMonitoringSchedulesRequest& request) {
  if (request.NextToken) {
    return Fail(InvalidArgument("NextToken is not one that ListMonitoringSchedules returned.", "ValidationException"));
  }
  return sm::ListMonitoringSchedulesResponse{};
}

}  // namespace

void RegisterSageMaker(JsonService& service, const SageMakerResources& resources) {
  auto& [jobs, models, configs, tags] = resources;
  Add(service, "CreateTrainingJob", jobs, &control::TrainingJobFrontend::Create);
  Add(service, "DescribeTrainingJob", jobs, &control::TrainingJobFrontend::Describe);
  Add(service, "ListTrainingJobs", jobs, &control::TrainingJobFrontend::List);
  Add(service, "StopTrainingJob", jobs, &control::TrainingJobFrontend::Stop);

  Add(service, "CreateModel", models, &control::ModelFrontend::Create);
  Add(service, "DescribeModel", models, &control::ModelFrontend::Describe);
  Add(service, "ListModels", models, &control::ModelFrontend::List);
  Add(service, "DeleteModel", models, &control::ModelFrontend::Delete);

  Add(service, "CreateEndpointConfig", configs, &control::EndpointConfigFrontend::Create);
  Add(service, "DescribeEndpointConfig", configs, &control::EndpointConfigFrontend::Describe);
  Add(service, "ListEndpointConfigs", configs, &control::EndpointConfigFrontend::List);
  Add(service, "DeleteEndpointConfig", configs, &control::EndpointConfigFrontend::Delete);

  Add(service, "ListTags", tags, &control::TagFrontend::ListTags);
  Add(service, "AddTags", tags, &control::TagFrontend::AddTags);
  Add(service, "DeleteTags", tags, &control::TagFrontend::DeleteTags);

  service.Register<sm::ListMonitoringSchedulesRequest, sm::ListMonitoringSchedulesResponse>(
      "ListMonitoringSchedules",
      [](const auto& request, const CallContext&) { return ListMonitoringSchedules(request); });
}

}  // namespace sagebrush::api
