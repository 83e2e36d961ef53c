#pragma once

#include <fmt/format.h>

#include <map>
#include <mutex>

#include "serving/core/model_service.h"

namespace sagebrush::serving::testing {

// A model whose signatures and computation a test chooses.
class ScriptedServable final : public Servable {
 public:
  using Compute = std::function<Result<Tensors>(const InferenceRequest&)>;

  ScriptedServable(std::string name, int64_t version, SignatureMap signatures, Compute compute)
      : name_(std::move(name)), version_(version), signatures_(std::move(signatures)), compute_(std::move(compute)) {}

  const std::string& model_name() const override { return name_; }
  int64_t version() const override { return version_; }
  const SignatureMap& signatures() const override { return signatures_; }
  void Run(InferenceRequest request, InferenceCallback done) const override { done(compute_(request)); }

 private:
  std::string name_;
  int64_t version_;
  SignatureMap signatures_;
  Compute compute_;
};

// Serves what a test puts in, without a lifecycle.
class ScriptedModelService final : public ModelService {
 public:
  explicit ScriptedModelService(int threads = 2, size_t queue_limit = 64) : executor_(threads, queue_limit) {}

  void Add(std::shared_ptr<const Servable> servable) { models_[servable->model_name()] = std::move(servable); }
  void set_status(std::vector<VersionStatus> status) { status_ = std::move(status); }
  void set_reload_result(Result<void> result) { reload_result_ = std::move(result); }

  Result<std::shared_ptr<const Servable>> Find(const ModelSpec& spec) const override {
    if (!spec.label.empty()) return Fail(InvalidArgument("Unrecognized servable version label: " + spec.label));
    auto found = models_.find(spec.name);
    if (found != models_.end() && spec.version.value_or(found->second->version()) == found->second->version()) {
      return found->second;
    }
    std::string wanted =
        spec.version ? fmt::format("Specific({}, {})", spec.name, *spec.version) : fmt::format("Latest({})", spec.name);
    return Fail(NotFound("Servable not found for request: " + wanted));
  }
  Result<std::vector<VersionStatus>> Status(const ModelSpec& spec) const override {
    if (status_.empty() || !models_.contains(spec.name))
      return Fail(NotFound("Could not find any versions of model " + spec.name));
    return status_;
  }
  Result<void> Reload(std::vector<ModelConfig> configs) override {
    std::lock_guard lock(mutex_);
    configs_ = std::move(configs);
    return reload_result_;
  }
  std::vector<ModelConfig> configs() const override {
    std::lock_guard lock(mutex_);
    return configs_;
  }
  Executor& executor() override { return executor_; }

 private:
  std::map<std::string, std::shared_ptr<const Servable>, std::less<>> models_;
  std::vector<VersionStatus> status_;
  mutable std::mutex mutex_;
  std::vector<ModelConfig> configs_;
  Result<void> reload_result_;
  Executor executor_;
};

}  // namespace sagebrush::serving::testing
