#pragma once
// Models that are functions, and a service of such models, for tests of what stands in front of models.

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

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

inline TensorInfo InputOf(DataType type, std::optional<Shape> shape) {
  return {.name = "placeholder:0", .type = type, .shape = std::move(shape)};
}

// These inputs and a float "y" under serving_default.
inline SignatureMap SignaturesOf(std::map<std::string, TensorInfo, std::less<>> inputs) {
  Signature signature{.inputs = std::move(inputs),
                      .outputs = {{"y", InputOf(DataType::kFloat, std::nullopt)}},
                      .method_name = std::string(kPredictMethod)};
  return {{std::string(kDefaultSignature), std::move(signature)}};
}

// A model that is only looked at, never run.
inline FakeServable ModelWithInputs(std::map<std::string, TensorInfo, std::less<>> inputs) {
  return {"model", 1, SignaturesOf(std::move(inputs)),
          [](const InferenceRequest&) -> Result<Tensors> { return Fail(Internal("this model is not to be run")); }};
}

// Serves what a test puts in, without a lifecycle. The public members are to be set before others use the service.
class FakeModelService : public ModelService {
 public:
  explicit FakeModelService(int threads = 2, size_t queue = 64) : executor_(threads, queue) {}

  void Add(const std::string& name, int64_t version, SignatureMap signatures, FakeModel model) {
    std::lock_guard lock(mutex_);
    models_[name][version] = std::make_shared<FakeServable>(name, version, std::move(signatures), std::move(model));
  }
  std::map<std::string, int64_t> labels;  // of every model
  std::vector<VersionStatus> statuses;    // of every model that is there
  // What becomes of a reload; unset: nothing but that configs() are these.
  std::function<Result<void>(const std::vector<ModelConfig>&)> on_reload;

  Result<std::shared_ptr<const Servable>> Find(const ModelSpec& spec) const override {
    std::lock_guard lock(mutex_);
    std::optional<int64_t> version = spec.version;
    if (!spec.label.empty()) {
      auto label = labels.find(spec.label);
      if (label == labels.end()) {
        return Fail(InvalidArgument("Unrecognized servable version label: " + spec.label));
      }
      version = label->second;
    }
    auto model = models_.find(spec.name);
    if (model == models_.end() || (version && !model->second.contains(*version))) {
      return Fail(
          NotFound("Servable not found for request: " + (version ? fmt::format("Specific({}, {})", spec.name, *version)
                                                                 : fmt::format("Latest({})", spec.name))));
    }
    return version ? model->second.at(*version) : model->second.rbegin()->second;
  }

  Result<std::vector<VersionStatus>> Status(const ModelSpec& spec) const override {
    std::lock_guard lock(mutex_);
    if (models_.contains(spec.name) && !statuses.empty()) return statuses;
    return Fail(NotFound("Could not find any versions of model " + spec.name));
  }

  Result<void> Reload(std::vector<ModelConfig> configs) override {
    std::unique_lock lock(mutex_);
    configs_ = configs;
    lock.unlock();
    return on_reload ? on_reload(configs) : Result<void>();
  }
  std::vector<ModelConfig> configs() const override {
    std::lock_guard lock(mutex_);
    return configs_;
  }
  Executor& executor() override { return executor_; }

 protected:
  mutable std::mutex mutex_;
  std::map<std::string, std::map<int64_t, std::shared_ptr<const Servable>>> models_;

 private:
  std::vector<ModelConfig> configs_;
  Executor executor_;
};

inline Result<Tensors> HalfPlusTwo(const InferenceRequest& request) {
  const Tensor& x = request.inputs.at(0);
  Tensor y = Tensor::Numeric(DataType::kFloat, x.shape());
  std::ranges::transform(x.values<float>(), y.mutable_values<float>().begin(), [](float v) { return v / 2 + 2; });
  return Tensors{std::move(y)};
}

// At first the model "half" is loaded. Reload loads every config at once as another half_plus_two, but refuses a set
// with one whose directory has a file "broken" below it.
class HalfPlusTwoModels final : public FakeModelService {
 public:
  HalfPlusTwoModels() {
    on_reload = [this](const std::vector<ModelConfig>& configs) { return Load(configs); };
    (void)Reload({ModelConfig{.name = "half", .base_path = "/none/half", .policy = {}, .labels = {}}});
  }

  void SetState(VersionState state) {
    std::lock_guard lock(mutex_);
    statuses = {{.version = 1, .state = state, .error = {}}};
  }

 private:
  Result<void> Load(const std::vector<ModelConfig>& configs) {
    {
      std::lock_guard lock(mutex_);
      models_.clear();
    }
    SetState(VersionState::kAvailable);
    for (const ModelConfig& config : configs) {
      Add(config.name, 1, SignaturesOf({{"x", InputOf(DataType::kFloat, std::nullopt)}}), HalfPlusTwo);
    }
    for (const ModelConfig& config : configs) {
      if (!std::filesystem::exists(config.base_path / "broken")) continue;
      SetState(VersionState::kEnd);
      return Fail(Error(ErrorKind::kInternal, "the model " + config.name + " is broken"));
    }
    return {};
  }
};

}  // namespace sagebrush::serving::testing
