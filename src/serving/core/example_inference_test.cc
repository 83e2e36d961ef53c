#include "serving/core/example_inference.h"

#include <gmock/gmock.h>

#include "serving/core/status.h"

namespace sagebrush::serving {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

Tensor Floats(Shape shape, const std::vector<float>& values) {
  Tensor tensor = Tensor::Numeric(DataType::kFloat, std::move(shape));
  std::ranges::copy(values, tensor.mutable_values<float>().begin());
  return tensor;
}

Signature SignatureOf(std::string_view method, std::initializer_list<const char*> inputs,
                      std::initializer_list<const char*> outputs) {
  Signature signature{.inputs = {}, .outputs = {}, .method_name = std::string(method)};
  for (const char* alias : inputs) signature.inputs[alias] = {"x:0", DataType::kString, Shape{-1}};
  for (const char* alias : outputs) signature.outputs[alias] = {"y:0", DataType::kFloat, std::nullopt};
  return signature;
}

Error Refusal(std::string_view method, const Signature& signature) {
  Result<InferenceRequest> request = ExampleInference(method, signature, "s", Tensor::Strings({1}, {"example"}));
  return request ? Internal("nothing is wrong") : request.error();
}

TEST(ExampleInference, AsksForTheOutputsOfTheMethod) {
  Signature both = SignatureOf(kClassifyMethod, {"inputs"}, {"classes", "scores"});
  Result<InferenceRequest> request = ExampleInference(kClassifyMethod, both, "s", Tensor::Strings({2}, {"a", "b"}));
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(request->signature_name, "s");
  EXPECT_THAT(request->outputs, ElementsAre(0, 1));
  EXPECT_THAT(request->inputs, SizeIs(1));
  // Another output is not computed.
  Signature more = SignatureOf(kClassifyMethod, {"inputs"}, {"logits", "scores"});
  EXPECT_THAT(ExampleInference(kClassifyMethod, more, "s", Tensor::Strings({1}, {"a"}))->outputs, ElementsAre(1));
}

TEST(ExampleInference, RefusesSignaturesOfAnotherForm) {
  Error error = Refusal(kRegressMethod, SignatureOf(kPredictMethod, {"inputs"}, {"outputs"}));
  EXPECT_EQ(error.message,
            "Expected regression signature method_name to be tensorflow/serving/regress. Was: "
            "tensorflow/serving/predict");
  EXPECT_EQ(CodeOf(error), CanonicalCode::kInvalidArgument);
  EXPECT_EQ(CodeOf(Refusal(kPredictMethod, SignatureOf(kPredictMethod, {"inputs"}, {"outputs"}))),
            CanonicalCode::kUnimplemented);
  EXPECT_EQ(Refusal(kRegressMethod, SignatureOf(kRegressMethod, {"a", "b"}, {"outputs"})).message,
            "Expected one input Tensor.");
  EXPECT_EQ(Refusal(kRegressMethod, SignatureOf(kRegressMethod, {"inputs"}, {"outputs", "more"})).message,
            "Expected one output Tensor.");
  EXPECT_EQ(Refusal(kClassifyMethod, SignatureOf(kClassifyMethod, {"inputs"}, {"a", "b", "c"})).message,
            "Expected one or two output Tensors, found 3");
  for (const auto& [method, signature] :
       {std::pair(kRegressMethod, SignatureOf(kRegressMethod, {"x"}, {"outputs"})),
        std::pair(kRegressMethod, SignatureOf(kRegressMethod, {"inputs"}, {"y"})),
        std::pair(kClassifyMethod, SignatureOf(kClassifyMethod, {"inputs"}, {"y"}))}) {
    EXPECT_EQ(CodeOf(Refusal(method, signature)), CanonicalCode::kFailedPrecondition);
  }
  EXPECT_THAT(Refusal(kRegressMethod, SignatureOf(kRegressMethod, {"x"}, {"outputs"})).message,
              HasSubstr("No regression inputs found in SignatureDef: its input is \"x\", not \"inputs\""));
  SignatureMap signatures{{"serving_default", SignatureOf(kRegressMethod, {"inputs"}, {"outputs"})}};
  EXPECT_EQ(FindExampleSignature(signatures, "").value()->first, "serving_default");
  EXPECT_EQ(FindExampleSignature(signatures, "no").error().message, "No signature was found with the name: no");
}

TEST(ExampleInference, ReadsClassesAndScores) {
  Signature both = SignatureOf(kClassifyMethod, {"inputs"}, {"classes", "scores"});
  Tensors outputs{Tensor::Strings({1, 2}, {"a", "b"}), Floats({1, 2}, {1, 2})};
  ClassificationTable table = ReadClassifications(both, outputs, 1).value();
  EXPECT_EQ(table.classes, &outputs[0]);
  EXPECT_EQ(table.scores, &outputs[1]);
  EXPECT_EQ(table.examples, 1U);
  EXPECT_EQ(table.columns, 2U);
  Signature scores = SignatureOf(kClassifyMethod, {"inputs"}, {"scores"});
  EXPECT_EQ(ReadClassifications(scores, std::span(outputs).subspan(1), 1)->classes, nullptr);

  auto refusal = [&](const Signature& signature, const Tensors& wrong, int64_t examples) {
    return ReadClassifications(signature, wrong, examples).error().message;
  };
  EXPECT_EQ(refusal(scores, {outputs[0]}, 1), "Expected scores Tensor of DT_FLOAT. Got: DT_STRING");
  EXPECT_EQ(refusal(scores, {Floats({2}, {1, 2})}, 2), "Expected Tensor shape: [batch_size num_classes] but got [2]");
  EXPECT_EQ(refusal(scores, {outputs[1]}, 3), "Expected scores output batch size of 3. Got: 1");
  EXPECT_EQ(refusal(both, {outputs[0], Floats({1, 1}, {1})}, 1),
            "Tensors class and score should match in dim_size(1). Got 2 vs. 1");
}

TEST(ExampleInference, ReadsRegressions) {
  EXPECT_THAT(ReadRegressions(Tensors{Floats({2}, {1, 2})}, 2).value(), ElementsAre(1, 2));
  EXPECT_THAT(ReadRegressions(Tensors{Floats({2, 1}, {1, 2})}, 2).value(), ElementsAre(1, 2));
  auto refusal = [](const Tensor& wrong) { return ReadRegressions(Tensors{wrong}, 2).error().message; };
  EXPECT_EQ(refusal(Floats({1, 2}, {1, 2})),
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [1,2]");
  EXPECT_EQ(refusal(Floats({3}, {1, 2, 3})), "Input batch size did not match output batch size: 2 vs. 3");
  EXPECT_EQ(refusal(Tensor::Strings({2}, {"a", "b"})), "Expected output Tensor of DT_FLOAT.  Got: DT_STRING");
}

}  // namespace
}  // namespace sagebrush::serving
