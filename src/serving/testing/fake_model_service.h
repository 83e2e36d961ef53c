#pragma once
// Models that are functions, for tests of the front ends.

#include <fmt/format.h>

#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "serving/core/model_service.h"

namespace sagebrush::serving::testing {

using FakeModel = std::function<Result<Tensors>(const InferenceRequest&)>;

class FakeServable final : public Servable {
 public:
  FakeServable(std::string name, int64_t version, SignatureMap signatures, FakeModel model)
      : name_(std::move(name)), version_(version), signatures_(std::move(signatures)), model_(std::move(model)) {}

  const std::string& model_name() const override { return name_; }
  int64_t version() const override { return version_; }
  const SignatureMap& signatures() const override { return signatures_; }
  void Run(InferenceRequest request, InferenceCallback done) const override { done(model_(request)); }

 private:
  std::string name_;
  int64_t version_;
  SignatureMap signatures_;
  FakeModel model_;
};

class FakeModelService final : public ModelService {
 public:
  explicit FakeModelService(int threads = 1, size_t queue = 16) : executor_(threads, queue) {}

  void Add(std::string name, int64_t version, SignatureMap signatures, FakeModel model) {
    models_[name][version] = std::make_shared<FakeServable>(name, version, std::move(signatures), std::move(model));
  }
  std::map<std::string, int64_t> labels;  // of every model
  std::vector<VersionStatus> statuses;    // of every version asked for
  std::function<Result<void>(std::vector<ModelConfig>)> on_reload;

  Result<std::shared_ptr<const Servable>> Find(const ModelSpec& spec) const override {
    auto model = models_.find(spec.name);
    std::optional<int64_t> version = spec.version;
    if (!spec.label.empty()) {
      auto label = labels.find(spec.label);
      if (label == labels.end()) {
        return Fail(InvalidArgument("Unrecognized servable version label: " + spec.label));
      }
      version = label->second;
    }
    if (model == models_.end() || (version && !model->second.contains(*version))) {
      return Fail(
          NotFound("Servable not found for request: " + (version ? fmt::format("Specific({}, {})", spec.name, *version)
                                                                 : fmt::format("Latest({})", spec.name))));
    }
    return version ? model->second.at(*version) : model->second.rbegin()->second;
  }

  Result<std::vector<VersionStatus>> Status(const ModelSpec& spec) const override {
    if (models_.contains(spec.name)) return statuses;
    return Fail(NotFound("Could not find any versions of model " + spec.name));
  }

  Result<void> Reload(std::vector<ModelConfig> configs) override { return on_reload(std::move(configs)); }
  std::vector<ModelConfig> configs() const override { return {}; }
  Executor& executor() override { return executor_; }

 private:
  std::map<std::string, std::map<int64_t, std::shared_ptr<const Servable>>> models_;
  Executor executor_;
};

}  // namespace sagebrush::serving::testing
