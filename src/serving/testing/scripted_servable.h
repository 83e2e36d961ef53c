#pragma once
// A model made of a function, for tests of what stands in front of models.

#include <functional>
#include <string>
#include <utility>

#include "serving/core/servable.h"

namespace sagebrush::serving::testing {

class ScriptedServable final : public Servable {
 public:
  using Function = std::function<Result<Tensors>(const InferenceRequest&)>;
  ScriptedServable(std::string name, int64_t version, SignatureMap signatures, Function function)
      : name_(std::move(name)), version_(version), signatures_(std::move(signatures)), function_(std::move(function)) {}

  const std::string& model_name() const override { return name_; }
  int64_t version() const override { return version_; }
  const SignatureMap& signatures() const override { return signatures_; }
  void Run(InferenceRequest request, InferenceCallback done) const override { done(function_(request)); }

 private:
  std::string name_;
  int64_t version_;
  SignatureMap signatures_;
  Function function_;
};

inline TensorInfo InputOf(DataType type, std::optional<Shape> shape) {
  return {.name = "placeholder:0", .type = type, .shape = std::move(shape)};
}

// A model that is only looked at, never run: these inputs under serving_default.
inline ScriptedServable ModelWithInputs(std::map<std::string, TensorInfo, std::less<>> inputs) {
  Signature signature{.inputs = std::move(inputs),
                      .outputs = {{"y", InputOf(DataType::kFloat, std::nullopt)}},
                      .method_name = std::string(kPredictMethod)};
  return {"model",
          1,
          {{std::string(kDefaultSignature), std::move(signature)}},
          [](const InferenceRequest&) -> Result<Tensors> { return Fail(Internal("this model is not to be run")); }};
}

}  // namespace sagebrush::serving::testing
