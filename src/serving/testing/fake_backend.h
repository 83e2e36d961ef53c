#pragma once
// A backend whose models are files of text, for tests of what stands above backends.

#include <atomic>
#include <filesystem>

#include "io/file.h"
#include "serving/backends/backend.h"

namespace sagebrush::serving::testing {

// y = x + addend over rows of one float; fails where x is negative.
class FakeSession final : public Session {
 public:
  explicit FakeSession(float addend, std::atomic<int>& alive) : addend_(addend), alive_(alive) {
    ++alive_;
    Signature& signature = signatures_[std::string(kDefaultSignature)];
    signature.method_name = kPredictMethod;
    signature.inputs["x"] = {"x:0", DataType::kFloat, Shape{-1}};
    signature.outputs["y"] = {"y:0", DataType::kFloat, Shape{-1}};
  }
  ~FakeSession() override { --alive_; }
  const SignatureMap& signatures() const override { return signatures_; }
  std::string_view backend_name() const override { return "fake"; }
  Result<Tensors> Run(std::string_view, std::span<const Tensor> inputs, std::span<const size_t>) const override {
    Tensor y = Tensor::Numeric(DataType::kFloat, inputs[0].shape());
    for (size_t index = 0; index < inputs[0].values<float>().size(); ++index) {
      float x = inputs[0].values<float>()[index];
      if (x < 0) return Fail(InvalidArgument("x is negative"));
      y.mutable_values<float>()[index] = x + addend_;
    }
    return Tensors{y};
  }

 private:
  const float addend_;
  std::atomic<int>& alive_;
  SignatureMap signatures_;
};

// Loads `saved_model.pb` files that hold a number, the addend.
class FakeBackend final : public Backend {
 public:
  std::string_view name() const override { return "fake"; }
  Result<std::unique_ptr<Session>> Load(const std::filesystem::path& directory) override {
    ++loads;
    TRY(std::string text, io::ReadFile(directory / "saved_model.pb"));
    char* end = nullptr;
    float addend = std::strtof(text.c_str(), &end);
    if (end == text.c_str()) return Fail(InvalidArgument("damaged model in " + directory.native()));
    return std::make_unique<FakeSession>(addend, alive);
  }
  std::atomic<int> loads = 0, alive = 0;
};

inline Tensor Floats(std::vector<float> values) {
  Tensor tensor = Tensor::Numeric(DataType::kFloat, {static_cast<int64_t>(values.size())});
  std::ranges::copy(values, tensor.mutable_values<float>().begin());
  return tensor;
}

}  // namespace sagebrush::serving::testing
