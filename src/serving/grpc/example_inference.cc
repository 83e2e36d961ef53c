#include "serving/grpc/example_inference.h"

#include "serving/core/status.h"

namespace sagebrush::serving {
namespace {

namespace api = ::tensorflow::serving;

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
  if (!index) return Fail(FailedPrecondition("No regression outputs found in SignatureDef: expected \"outputs\"."));
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

Result<Tensor> ExamplesOf(const api::Input& input) {
  const std::string* context = nullptr;
  const google::protobuf::RepeatedPtrField<std::string>* examples = &input.example_list().examples();
  if (input.has_example_list_with_context()) {
    context = &input.example_list_with_context().context();
    examples = &input.example_list_with_context().examples();
  }
  if (examples->empty()) return Fail(InvalidArgument("Input is empty."));
  std::vector<std::string> elements;
  elements.reserve(static_cast<size_t>(examples->size()));
  // Serialized messages that stand one behind the other are one merged message.
  for (const std::string& example : *examples) elements.push_back(context ? *context + example : example);
  return Tensor::Strings({examples->size()}, std::move(elements));
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
    return Fail(FailedPrecondition(fmt::format("No {} inputs found in SignatureDef: expected \"inputs\".", kind)));
  }
  return InferenceRequest{std::move(signature_name), {std::move(examples)}, std::move(outputs), {}};
}

Result<void> ClassificationFrom(const Signature& signature, const Tensors& outputs, int64_t examples,
                                api::ClassificationResult* result) {
  const Tensor* classes = nullptr;
  const Tensor* scores = nullptr;
  const Tensor* next = outputs.data();
  if (signature.outputs.contains(kClasses)) classes = next++;
  if (signature.outputs.contains(kScores)) scores = next++;
  if (classes) TRYV(CheckClassification(kClasses, *classes, DataType::kString, examples));
  if (scores) TRYV(CheckClassification(kScores, *scores, DataType::kFloat, examples));
  if (classes && scores && classes->shape()[1] != scores->shape()[1]) {
    return Fail(InvalidArgument(fmt::format("Tensors class and score should match in dim_size(1). Got {} vs. {}",
                                            classes->shape()[1], scores->shape()[1])));
  }
  auto columns = static_cast<size_t>((classes ? classes : scores)->shape()[1]);
  for (size_t example = 0; example < static_cast<size_t>(examples); ++example) {
    api::Classifications* row = result->add_classifications();
    for (size_t column = 0; column < columns; ++column) {
      api::Class* entry = row->add_classes();
      if (classes) entry->set_label(classes->strings()[example * columns + column]);
      if (scores) entry->set_score(scores->values<float>()[example * columns + column]);
    }
  }
  return {};
}

Result<void> RegressionFrom(const Tensors& outputs, int64_t examples, api::RegressionResult* result) {
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
  for (float value : output.values<float>()) result->add_regressions()->set_value(value);
  return {};
}

}  // namespace sagebrush::serving
