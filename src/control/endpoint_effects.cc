// What the reconciler of endpoints causes outside the database: instances come and go.
#include <algorithm>

#include "base/failpoint.h"
#include "base/log.h"
#include "control/endpoint_reconciler.h"
#include "control/instance_spec.h"
#include "control/staging.h"
#include "control/training_job_request.h"
#include "domain/instance_type.h"
#include "io/cores.h"

namespace sagebrush::control {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kStopGraceMs = 15'000;  // for a server to end its requests
constexpr int kMostStartCalls = 5;        // an agent that dies before it records anything is not started for ever
constexpr std::string_view kModelServer = "sagebrush-model-server";

// The package TensorFlow of an environment, so that the model server need not ask Python for it; "" for none.
fs::path TensorFlowOf(const fs::path& venv) {
  std::error_code error;
  for (const fs::directory_entry& python : fs::directory_iterator(venv / "lib", error)) {
    fs::path package = python.path() / "site-packages/tensorflow";
    if (fs::is_directory(package, error)) return package;
  }
  return {};
}

}  // namespace

void EndpointReconciler::Watch(const EndpointName& endpoint, const domain::EndpointState& state,
                               const domain::EndpointInstance& instance, bool fresh) {
  InstanceId id = EndpointInstanceId(endpoint, instance.serial);
  log_pump_.Watch(id, LogStream(id, instance.variant), 1, LogGroup(endpoint));
  const domain::EndpointVariant* variant = domain::VariantOf(state, instance);
  if (options_.metrics == nullptr || variant == nullptr) return;
  Result<domain::InstanceType> type = domain::ParseInstanceType(variant->instance_type);
  options_.metrics->WatchInstance(id, endpoint.value(), variant->name, type ? type->memory_bytes : 0, fresh);
}

Result<bool> EndpointReconciler::StartInstance(const EndpointName& endpoint, const domain::EndpointState& state,
                                               const domain::EndpointInstance& instance) {
  InstanceId id = EndpointInstanceId(endpoint, instance.serial);
  const domain::EndpointVariant* variant = domain::VariantOf(state, instance);
  if (variant == nullptr) return false;  // of a fleet that is gone; it leaves
  Result<driver::InstanceSpec> spec = PrepareInstance(endpoint, *variant, id);
  if (!spec && spec.error().retryable) return false;  // the environment is being made; its end wakes all endpoints
  std::string failure = spec ? "" : spec.error().message;
  if (spec && StartedTooOften(id)) {
    failure = "InternalServerError: the instance's agent died " + std::to_string(kMostStartCalls) +
              " times before it could begin; the engine's log has its last words, and 'sagebrush doctor' checks this "
              "machine.";
  } else if (spec) {
    Watch(endpoint, state, instance, true);
    FAILPOINT("control.endpoint.start.before_effect");
    Result<void> started = driver_.Start(*spec);
    FAILPOINT("control.endpoint.start.after_effect");
    if (!started) failure = "InternalServerError: an instance could not be started: " + started.error().message;
  }
  if (failure.empty()) return true;
  TRYV(driver_.Destroy(id));  // what was staged for it
  std::lock_guard lock(mutex_);
  start_failures_.emplace(id, std::move(failure));
  return true;
}

bool EndpointReconciler::StartedTooOften(const InstanceId& id) {
  std::lock_guard lock(mutex_);
  return ++start_calls_[id] > kMostStartCalls;
}

Result<driver::InstanceSpec> EndpointReconciler::PrepareInstance(const EndpointName& endpoint,
                                                                 const domain::EndpointVariant& variant,
                                                                 const InstanceId& id) {
  TRY(InstanceIdParts parts, ParseInstanceId(id));
  TRY(domain::InstanceType type, domain::ParseInstanceType(variant.instance_type));
  driver::InstanceSpec spec;
  spec.id = id;
  spec.job = parts.job;
  spec.job_arn = options_.arn_of(endpoint.value());
  spec.epoch = options_.epoch;
  spec.instance_type = variant.instance_type;
  // A type larger than this machine gets all of it.
  spec.limits.vcpus = std::min(type.vcpus, static_cast<double>(io::UsableCores()));
  spec.limits.memory_bytes = type.memory_bytes;
  spec.network_isolation = variant.network_isolation;
  spec.stop_grace_ms = kStopGraceMs;
  spec.engine_socket = options_.engine_socket;
  spec.service = driver::Service{.model_archive = {}, .command = {}, .port = routing::Invoker::kPort};
  TRYV(AddEnvironment(variant.image, spec));
  AddEngineAccess(keys_.ForJob(parts.job), options_.region, options_.ca_bundle, spec);
  for (const auto& [name, value] : variant.environment) spec.variables[name] = value;
  if (!variant.model_data_url.empty()) TRYV(StageModel(variant.model_data_url, spec));
  return spec;
}

// The image's environment and the command that serves in it.
Result<void> EndpointReconciler::AddEnvironment(const std::string& image_uri, driver::InstanceSpec& spec) {
  ImageRequest image{image_uri};
  TRY(ImageRecipe recipe, images_.Find(image_uri));
  EnvironmentCache::State state = images_.Ensure(image);
  if (state.phase == EnvironmentCache::State::Phase::kFailed) {
    images_.Forget(image);
    return Fail(InvalidArgument(state.failure));
  }
  if (state.phase == EnvironmentCache::State::Phase::kPreparing) {
    return Fail(Error(ErrorKind::kUnavailable, "the image is being prepared"));
  }
  spec.environment = state.environment;
  spec.service->command = recipe.serve;
  if (recipe.serve.front() == kModelServer) {
    spec.service->command.front() = options_.model_server.string();
    spec.environment.read_only.push_back(options_.model_server);
    fs::path tensorflow = TensorFlowOf(state.environment.venv);
    if (!tensorflow.empty()) spec.variables["SAGEBRUSH_TENSORFLOW"] = tensorflow.string();
  }
  return {};
}

Result<void> EndpointReconciler::StageModel(const std::string& url, driver::InstanceSpec& spec) {
  TRY(S3Uri uri, ParseS3Uri(url));
  fs::path directory = driver_.StagingDirectory(spec.id);
  TRYV(io::RemoveTree(directory));
  TRYV(io::MakeDirectories(directory));
  spec.service->model_archive = directory / "model.tar.gz";
  spec.service->model_source = url;
  FAILPOINT("control.endpoint.stage.before_effect");
  Result<void> linked = objects_.LinkTo(uri.bucket, uri.key, spec.service->model_archive);
  FAILPOINT("control.endpoint.stage.after_effect");
  if (linked) return {};
  return Fail(InvalidArgument("Failed to download model data for container \"container_1\" from URL: \"" + url +
                              "\": " + WhyUnreadable(linked.error()) + ". Check the URL with 'aws s3 ls " + url +
                              "' and create the endpoint again."));
}

Result<void> EndpointReconciler::StopInstance(const InstanceId& id) {
  {
    std::lock_guard lock(mutex_);
    if (!stop_sent_.insert(id).second) return {};
  }
  FAILPOINT("control.endpoint.stop.before_effect");
  Result<void> stopped = driver_.Stop(id, {options_.epoch, "the endpoint no longer needs this instance"});
  FAILPOINT("control.endpoint.stop.after_effect");
  if (stopped || stopped.error().kind == ErrorKind::kNotFound) return {};
  std::lock_guard lock(mutex_);
  stop_sent_.erase(id);
  return stopped;
}

Result<void> EndpointReconciler::DestroyInstance(const InstanceId& id) {
  TRYV(log_pump_.Drain(id));
  prober_.Forget(id);
  invoker_.Forget(id);
  FAILPOINT("control.endpoint.destroy.before_effect");
  TRYV(driver_.Destroy(id));
  FAILPOINT("control.endpoint.destroy.after_effect");
  log_pump_.Forget(id);
  if (options_.metrics != nullptr) options_.metrics->ForgetInstance(id);
  std::lock_guard lock(mutex_);
  stop_sent_.erase(id);
  start_failures_.erase(id);
  start_calls_.erase(id);
  destroyed_.insert(id);
  return {};
}

}  // namespace sagebrush::control
