#include "serving/grpc/example_protos.h"

namespace sagebrush::serving {

namespace api = ::tensorflow::serving;

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

Result<void> FillClassification(const Signature& signature, const Tensors& outputs, int64_t examples,
                                api::ClassificationResult* result) {
  TRY(ClassificationTable table, ReadClassifications(signature, outputs, examples));
  for (size_t example = 0; example < table.examples; ++example) {
    api::Classifications* row = result->add_classifications();
    for (size_t at = example * table.columns; at < (example + 1) * table.columns; ++at) {
      api::Class* entry = row->add_classes();
      if (table.classes) entry->set_label(table.classes->strings()[at]);
      if (table.scores) entry->set_score(table.scores->values<float>()[at]);
    }
  }
  return {};
}

Result<void> FillRegression(const Tensors& outputs, int64_t examples, api::RegressionResult* result) {
  TRY(std::span<const float> values, ReadRegressions(outputs, examples));
  for (float value : values) result->add_regressions()->set_value(value);
  return {};
}

}  // namespace sagebrush::serving
