// libFuzzer: whatever the bytes, a body is read or refused; the reader and the one that says what is wrong agree; what
// was read has the sizes that its shape says.
#include <cstdint>

#include "base/check.h"
#include "serving/codec/json_body.h"
#include "serving/codec/json_examples.h"
#include "serving/invocations/json_forms.h"

namespace {

using namespace sagebrush::serving;

SignatureMap Signatures() {
  SignatureMap signatures;
  auto& one = signatures["serving_default"].inputs;
  one["x"].type = DataType::kFloat;
  signatures["s"].inputs["x"].type = DataType::kString;
  signatures["i"].inputs["x"].type = DataType::kInt8;
  auto& two = signatures["t"].inputs;
  two["a"].type = DataType::kDouble;
  two["b"].type = DataType::kBool;
  return signatures;
}

void Check(std::string_view body, BodyForm form) {
  static const SignatureMap kSignatures = Signatures();
  auto parsed = ParsePredict(body, form, kSignatures);
  auto checked = CheckPredict(body, form, kSignatures);
  CHECK(parsed.has_value() || !checked.has_value());
  if (!parsed) return;
  CHECK(parsed->inputs.size() == kSignatures.at(parsed->signature_name).inputs.size());
  for (const Tensor& tensor : parsed->inputs) {
    size_t sum = 0;
    for (size_t at = 0; at < tensor.byte_size(); ++at) sum += static_cast<uint8_t>(tensor.data()[at]);
    for (const std::string& text : tensor.strings()) sum += text.size();
    CHECK(sum <= body.size() * 16 * 255 + 255);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view body(reinterpret_cast<const char*>(data), size);
  for (BodyForm form : {BodyForm::kServing, BodyForm::kInstances, BodyForm::kInstance, BodyForm::kLines}) {
    Check(body, form);
  }
  CHECK(FormOfInvocation(body) != BodyForm::kServing || body.find(':') != std::string_view::npos);
  auto examples = ParseExamples(body);
  CHECK(!examples || !examples->examples.empty());
  return 0;
}
