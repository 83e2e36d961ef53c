#include "serving/core/example_inference.h"

#include <fmt/format.h>

#include <optional>

#include "serving/core/status.h"

namespace sagebrush::serving {
namespace {

constexpr std::string_view kInputs = "inputs";
constexpr std::string_view kClasses = "classes", kScores = "scores";  // of a classification
constexpr std::string_view kOutputs = "outputs";                      // of a regression

Error FailedPrecondition(std::string message) {
  return ErrorOf(CanonicalCode::kFailedPrecondition, std::move(message));
}

// The index of the output in the order of the map.
std::optional<size_t> IndexOf(const Signature& signature, std::string_view alias) {
  auto found = signature.outputs.find(alias);
  if (found == signature.outputs.end()) return std::nullopt;
  return static_cast<size_t>(std::distance(signature.outputs.begin(), found));
}

Result<std::vector<size_t>> ClassificationOutputs(const Signature& signature) {
  if (signature.outputs.size() != 1 && signature.outputs.size() != 2) {
    return Fail(
        InvalidArgument("Expected one or two output Tensors, found " + std::to_string(signature.outputs.size())));
  }
  std::vector<size_t> indexes;
  for (std::string_view alias : {kClasses, kScores}) {
    if (std::optional<size_t> index = IndexOf(signature, alias)) indexes.push_back(*index);
  }
  if (indexes.empty()) {
    return Fail(
        FailedPrecondition("Expected classification signature outputs to contain at least one of \"classes\" or "
                           "\"scores\"."));
  }
  return indexes;
}

Result<std::vector<size_t>> RegressionOutputs(const Signature& signature) {
  if (signature.outputs.size() != 1) return Fail(InvalidArgument("Expected one output Tensor."));
  std::optional<size_t> index = IndexOf(signature, kOutputs);
  if (!index) {
    return Fail(
        FailedPrecondition(fmt::format("No regression outputs found in SignatureDef: its output is \"{}\", not \"{}\"",
                                       signature.outputs.begin()->first, kOutputs)));
  }
  return std::vector<size_t>{*index};
}

// An output of a classification: [examples, classes].
Result<void> CheckClassification(std::string_view alias, const Tensor& tensor, DataType type, int64_t examples) {
  if (tensor.shape().size() != 2) {
    return Fail(
        InvalidArgument("Expected Tensor shape: [batch_size num_classes] but got " + ShapeText(tensor.shape())));
  }
  if (tensor.type() != type) {
    return Fail(InvalidArgument(
        fmt::format("Expected {} Tensor of {}. Got: {}", alias, ProtoTypeName(type), ProtoTypeName(tensor.type()))));
  }
  if (tensor.shape()[0] != examples) {
    return Fail(InvalidArgument(
        fmt::format("Expected {} output batch size of {}. Got: {}", alias, examples, tensor.shape()[0])));
  }
  return {};
}

}  // namespace

Result<SignatureMap::const_iterator> FindExampleSignature(const SignatureMap& signatures, std::string_view name) {
  auto found = signatures.find(name.empty() ? kDefaultSignature : name);
  if (found != signatures.end()) return found;
  return Fail(InvalidArgument(
      fmt::format("No signature was found with the name: {}", name.empty() ? kDefaultSignature : name)));
}

Result<InferenceRequest> ExampleInference(std::string_view method, const Signature& signature,
                                          std::string signature_name, Tensor examples) {
  bool classify = method == kClassifyMethod;
  if (!classify && method != kRegressMethod) {
    return Fail(ErrorOf(CanonicalCode::kUnimplemented, fmt::format("Unsupported signature method_name: {}", method)));
  }
  std::string_view kind = classify ? "classification" : "regression";
  if (signature.method_name != method) {
    return Fail(InvalidArgument(
        fmt::format("Expected {} signature method_name to be {}. Was: {}", kind, method, signature.method_name)));
  }
  if (signature.inputs.size() != 1) return Fail(InvalidArgument("Expected one input Tensor."));
  TRY(std::vector<size_t> outputs, classify ? ClassificationOutputs(signature) : RegressionOutputs(signature));
  if (!signature.inputs.contains(kInputs)) {
    return Fail(FailedPrecondition(fmt::format("No {} inputs found in SignatureDef: its input is \"{}\", not \"{}\"",
                                               kind, signature.inputs.begin()->first, kInputs)));
  }
  return InferenceRequest{std::move(signature_name), {std::move(examples)}, std::move(outputs), {}};
}

Result<ClassificationTable> ReadClassifications(const Signature& signature, std::span<const Tensor> outputs,
                                                int64_t examples) {
  ClassificationTable table{.examples = static_cast<size_t>(examples)};
  const Tensor* next = outputs.data();
  if (signature.outputs.contains(kClasses)) table.classes = next++;
  if (signature.outputs.contains(kScores)) table.scores = next++;
  if (table.classes) TRYV(CheckClassification(kClasses, *table.classes, DataType::kString, examples));
  if (table.scores) TRYV(CheckClassification(kScores, *table.scores, DataType::kFloat, examples));
  if (table.classes && table.scores && table.classes->shape()[1] != table.scores->shape()[1]) {
    return Fail(InvalidArgument(fmt::format("Tensors class and score should match in dim_size(1). Got {} vs. {}",
                                            table.classes->shape()[1], table.scores->shape()[1])));
  }
  table.columns = static_cast<size_t>((table.classes ? table.classes : table.scores)->shape()[1]);
  return table;
}

Result<std::span<const float>> ReadRegressions(std::span<const Tensor> outputs, int64_t examples) {
  const Tensor& output = outputs[0];
  const Shape& shape = output.shape();
  if (shape.size() != 1 && !(shape.size() == 2 && shape[1] == 1)) {
    return Fail(InvalidArgument("Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got " +
                                ShapeText(shape)));
  }
  if (shape[0] != examples) {
    return Fail(InvalidArgument(
        fmt::format("Input batch size did not match output batch size: {} vs. {}", examples, shape[0])));
  }
  if (output.type() != DataType::kFloat) {
    return Fail(
        InvalidArgument(fmt::format("Expected output Tensor of DT_FLOAT.  Got: {}", ProtoTypeName(output.type()))));
  }
  return output.values<float>();
}

}  // namespace sagebrush::serving
