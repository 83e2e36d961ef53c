#include "serving/grpc/management_service.h"

#include "base/log.h"
#include "base/text.h"
#include "serving/config/model_config_proto.h"
#include "serving/core/status.h"
#include "serving/grpc/prediction_service.h"

namespace sagebrush::serving {
namespace {

namespace api = ::tensorflow::serving;

constexpr size_t kMostWaitingReloads = 16;

void FillStatus(const VersionStatus& status, api::ModelVersionStatus* proto) {
  proto->set_version(status.version);
  proto->set_state(static_cast<api::ModelVersionStatus::State>(status.state));
  CanonicalCode code = status.error ? CodeOf(*status.error) : CanonicalCode::kOk;
  proto->mutable_status()->set_error_code(static_cast<::tensorflow::error::Code>(code));
  if (status.error) proto->mutable_status()->set_error_message(ReplaceInvalidUtf8(status.error->message));
}

Result<void> StatusOf(const sagebrush::serving::ModelService& service, const api::GetModelStatusRequest& request,
                      api::GetModelStatusResponse* response) {
  if (!request.has_model_spec()) return Fail(InvalidArgument("Missing ModelSpec"));
  TRY(std::vector<VersionStatus> versions, service.Status(ModelSpecFromProto(request.model_spec())));
  for (const VersionStatus& version : versions) FillStatus(version, response->add_model_version_status());
  return {};
}

Result<void> Reload(sagebrush::serving::ModelService& service, const api::ReloadConfigRequest& request) {
  if (!request.metric_names().empty()) {
    return Fail(Unsupported("metric_names is not supported: read the metrics over HTTP."));
  }
  TRY(std::vector<ModelConfig> configs,
      ModelConfigsFromProto(request.config(), [](int index) { return "config " + std::to_string(index); }));
  return service.Reload(std::move(configs));
}

}  // namespace

ManagementServiceImpl::ManagementServiceImpl(sagebrush::serving::ModelService& service)
    : service_(service), reloads_(1, kMostWaitingReloads) {}

UnaryCall* ManagementServiceImpl::GetModelStatus(::grpc::CallbackServerContext* context,
                                                 const api::GetModelStatusRequest* request,
                                                 api::GetModelStatusResponse* response) {
  auto* call = new UnaryCall(*context);
  call->Answer(StatusOf(service_, *request, response));
  return call;
}

UnaryCall* ManagementServiceImpl::HandleReloadConfigRequest(::grpc::CallbackServerContext* context,
                                                            const api::ReloadConfigRequest* request,
                                                            api::ReloadConfigResponse* response) {
  return UnaryCall::Start(*context, &reloads_, [this, request, response](UnaryCall& call) {
    Result<void> reloaded = Reload(service_, *request);
    if (!reloaded) Log(LogLevel::kError, "model_reload_refused", {{"error", reloaded.error().message}});
    response->mutable_status()->set_error_code(::tensorflow::error::OK);
    call.Answer(reloaded);
  });
}

}  // namespace sagebrush::serving
