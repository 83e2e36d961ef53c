#pragma once
// A ModelService whose models are half_plus_two in C++, for tests of what stands in front of models.

#include <algorithm>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "serving/core/model_service.h"
#include "serving/testing/scripted_servable.h"

namespace sagebrush::serving::testing {

inline Result<Tensors> HalfPlusTwo(const InferenceRequest& request) {
  const Tensor& x = request.inputs.at(0);
  Tensor y = Tensor::Numeric(DataType::kFloat, x.shape());
  std::ranges::transform(x.values<float>(), y.mutable_values<float>().begin(), [](float v) { return v / 2 + 2; });
  return Tensors{std::move(y)};
}

inline std::shared_ptr<const Servable> MakeHalfPlusTwo(std::string name) {
  Signature signature{.inputs = {{"x", InputOf(DataType::kFloat, std::nullopt)}},
                      .outputs = {{"y", InputOf(DataType::kFloat, std::nullopt)}},
                      .method_name = std::string(kPredictMethod)};
  SignatureMap signatures{{std::string(kDefaultSignature), std::move(signature)}};
  return std::make_shared<ScriptedServable>(std::move(name), 1, std::move(signatures), HalfPlusTwo);
}

// At first the model "half" is loaded. Reload loads every config at once as another half_plus_two, but refuses those
// whose directory has a file "broken" below it.
class FakeModels final : public ModelService {
 public:
  FakeModels() { configs_ = {ModelConfig{.name = "half", .base_path = "/none/half", .policy = {}, .labels = {}}}; }

  Result<std::shared_ptr<const Servable>> Find(const ModelSpec& spec) const override {
    TRYV(Known(spec));
    if (spec.version.value_or(1) == 1) return MakeHalfPlusTwo(spec.name);
    return Fail(
        NotFound("Servable not found for request: Specific(" + spec.name + ", " + std::to_string(*spec.version) + ")"));
  }
  Result<std::vector<VersionStatus>> Status(const ModelSpec& spec) const override {
    std::lock_guard lock(mutex_);
    if (!Named(configs_, spec.name)) return Fail(NotFound("Could not find any versions of model " + spec.name));
    return std::vector<VersionStatus>{{.version = 1, .state = state_, .error = {}}};
  }
  Result<void> Reload(std::vector<ModelConfig> configs) override {
    std::lock_guard lock(mutex_);
    configs_ = std::move(configs);
    state_ = VersionState::kAvailable;
    for (const ModelConfig& config : configs_) {
      if (!std::filesystem::exists(config.base_path / "broken")) continue;
      state_ = VersionState::kEnd;
      return Fail(Error(ErrorKind::kInternal, "the model " + config.name + " is broken"));
    }
    return {};
  }
  std::vector<ModelConfig> configs() const override {
    std::lock_guard lock(mutex_);
    return configs_;
  }
  Executor& executor() override { return executor_; }

  void SetState(VersionState state) {
    std::lock_guard lock(mutex_);
    state_ = state;
  }

 private:
  static bool Named(const std::vector<ModelConfig>& configs, const std::string& name) {
    return std::ranges::any_of(configs, [&](const ModelConfig& config) { return config.name == name; });
  }
  Result<void> Known(const ModelSpec& spec) const {
    std::lock_guard lock(mutex_);
    if (Named(configs_, spec.name)) return {};
    return Fail(NotFound("Servable not found for request: Latest(" + spec.name + ")"));
  }

  mutable std::mutex mutex_;
  std::vector<ModelConfig> configs_;
  VersionState state_ = VersionState::kAvailable;
  Executor executor_{2, 100};
};

}  // namespace sagebrush::serving::testing
