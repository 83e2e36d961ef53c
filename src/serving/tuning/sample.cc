#include "serving/tuning/sample.h"

#include "serving/lifecycle/warmup_replay.h"
#include "serving/signature/made_up_inputs.h"

namespace sagebrush::serving {
namespace {

// The inputs' common number of rows; nullopt where they have none to be repeated.
std::optional<int64_t> FreeRows(const Signature& signature, const Tensors& inputs) {
  std::optional<int64_t> rows;
  size_t index = 0;
  for (const auto& [alias, info] : signature.inputs) {
    const Shape& shape = inputs[index++].shape();
    bool free = info.shape && !info.shape->empty() && info.shape->front() == -1;
    if (!free || shape.empty() || shape[0] == 0 || shape[0] != rows.value_or(shape[0])) return std::nullopt;
    rows = shape[0];
  }
  return rows;
}

Result<Tensor> Repeated(const Tensor& tensor, int64_t rows) {
  std::vector<Tensor> parts;
  for (int64_t row = 0; row < rows; ++row) {
    int64_t from = row % tensor.shape()[0];
    parts.push_back(tensor.Rows(from, from + 1));
  }
  return Concatenate(parts);
}

Result<Sample> Complete(std::string signature_name, const Signature& signature, Tensors inputs,
                        std::vector<size_t> outputs) {
  if (outputs.empty()) outputs = AllOutputs(signature.outputs.size());
  if (outputs.empty()) return Fail(Unsupported("Signature " + signature_name + " has no outputs."));
  Sample sample{.signature_name = std::move(signature_name), .outputs = std::move(outputs)};
  if (!FreeRows(signature, inputs)) {
    sample.one = inputs;
    sample.many = std::move(inputs);
    return sample;
  }
  for (const Tensor& input : inputs) {
    sample.one.push_back(input.Rows(0, 1));
    TRY(Tensor many, Repeated(input, kManyRows));
    sample.many.push_back(std::move(many));
  }
  sample.many_rows = kManyRows;
  return sample;
}

}  // namespace

Result<Sample> MakeSample(const std::filesystem::path& version_directory, const SignatureMap& signatures) {
  TRY(std::vector<WarmupCall> calls, ReadWarmupCalls(version_directory));
  if (!calls.empty()) {
    TRY(InferenceRequest request, ToRequest(calls.front(), signatures));
    const Signature& signature = signatures.find(request.signature_name)->second;
    return Complete(request.signature_name, signature, std::move(request.inputs), std::move(request.outputs));
  }
  std::optional<Error> reason;
  auto made_up = [&](const std::string& name, const Signature& signature) -> Result<Sample> {
    TRY(Tensors inputs, MadeUpInputs(signature, 1));
    return Complete(name, signature, std::move(inputs), {});
  };
  auto preferred = signatures.find(kDefaultSignature);
  if (preferred != signatures.end()) {
    Result<Sample> sample = made_up(preferred->first, preferred->second);
    if (sample) return sample;
    reason = std::move(sample).error();
  }
  for (const auto& [name, signature] : signatures) {
    Result<Sample> sample = made_up(name, signature);
    if (sample) return sample;
    if (!reason) reason = std::move(sample).error();
  }
  return Fail(reason ? *std::move(reason) : Unsupported("The model has no signature."));
}

}  // namespace sagebrush::serving
