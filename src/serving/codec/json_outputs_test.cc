#include "serving/codec/json_outputs.h"

#include <fmt/printf.h>
#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

#include <bit>
#include <cmath>

#include "serving/codec/json_body.h"
#include "serving/codec/json_print.h"

namespace sagebrush::serving {
namespace {

template <class T>
Tensor Of(DataType type, Shape shape, std::vector<T> values) {
  Tensor tensor = Tensor::Numeric(type, std::move(shape));
  std::copy(values.begin(), values.end(), tensor.mutable_values<T>().begin());
  return tensor;
}

Tensor Floats(Shape shape, std::vector<float> values) { return Of<float>(DataType::kFloat, std::move(shape), values); }

std::string Printed(std::vector<std::pair<std::string, Tensor>> outputs, OutputForm form) {
  Signature signature;
  Tensors tensors;
  for (auto& [name, tensor] : outputs) {
    signature.outputs[name];
    tensors.push_back(tensor);
  }
  Result<std::string> printed = PrintOutputs(signature, tensors, form);
  return printed ? *printed : printed.error().message;
}

template <class T>
std::string Number(T value) {
  PrettyWriter writer;
  writer.Number(value);
  return writer.Take();
}

TEST(JsonOutputs, RowsOfOneOutputAreBare) {
  EXPECT_EQ(Printed({{"y", Floats({3}, {3.5F, 4, 5.5F})}}, OutputForm::kRow),
            "{\n    \"predictions\": [3.5, 4.0, 5.5\n    ]\n}");
  EXPECT_EQ(Printed({{"y", Floats({2, 1, 2}, {1, 2, 3, 4})}}, OutputForm::kRow),
            "{\n    \"predictions\": [[[1.0, 2.0]], [[3.0, 4.0]]\n    ]\n}");
  EXPECT_EQ(Printed({{"y", Floats({0, 2}, {})}}, OutputForm::kRow), "{\n    \"predictions\": []\n}");
}

TEST(JsonOutputs, RowsOfSeveralOutputsAreObjects) {
  std::string printed = Printed(
      {{"a", Floats({2, 2}, {1, 2, 3, 4})}, {"b", Of<int64_t>(DataType::kInt64, {2}, {7, -8})}}, OutputForm::kRow);
  EXPECT_EQ(printed,
            "{\n    \"predictions\": [\n        {\n            \"a\": [1.0, 2.0],\n            \"b\": 7\n        },\n"
            "        {\n            \"a\": [3.0, 4.0],\n            \"b\": -8\n        }\n    ]\n}");
}

TEST(JsonOutputs, ColumnsStandOnLinesOfTheirOwn) {
  EXPECT_EQ(Printed({{"y", Floats({2}, {1, 2})}}, OutputForm::kColumn),
            "{\n    \"outputs\": [\n        1.0,\n        2.0\n    ]\n}");
  EXPECT_EQ(Printed({{"a", Floats({}, {1})}, {"b", Of<uint8_t>(DataType::kUint8, {1}, {200})}}, OutputForm::kColumn),
            "{\n    \"outputs\": {\n        \"a\": 1.0,\n        \"b\": [\n            200\n        ]\n    }\n}");
}

TEST(JsonOutputs, StringsAreWrittenRawOrInBase64) {
  EXPECT_EQ(Printed({{"y", Tensor::Strings({2}, {"a\"\\\n\x01é", ""})}}, OutputForm::kRow),
            "{\n    \"predictions\": [\"a\\\"\\\\\\n\\u0001é\", \"\"\n    ]\n}");
  EXPECT_EQ(Printed({{"y_bytes", Tensor::Strings({1}, {std::string("\0\xff", 2)})}}, OutputForm::kRow),
            "{\n    \"predictions\": [{\n            \"b64\": \"AP8=\"\n        }\n    ]\n}");
  EXPECT_EQ(Printed({{"y", Of<bool>(DataType::kBool, {2}, {true, false})}}, OutputForm::kRow),
            "{\n    \"predictions\": [true, false\n    ]\n}");
}

TEST(JsonOutputs, WhatCannotBeWrittenIsNamed) {
  EXPECT_EQ(Printed({{"y", Floats({}, {1})}}, OutputForm::kRow), "Tensor name: y has no shape information ");
  EXPECT_EQ(Printed({{"a", Floats({2}, {1, 2})}, {"b", Floats({1}, {1})}}, OutputForm::kRow),
            "Tensor name: b has inconsistent batch size: 1 expecting: 2");
  EXPECT_EQ(Printed({{"y", Of<uint16_t>(DataType::kHalf, {1}, {1})}}, OutputForm::kRow),
            "Failed to write JSON value for tensor type: half");
  EXPECT_EQ(Printed({}, OutputForm::kRow), "Cannot convert empty tensor map to JSON");
}

TEST(JsonOutputs, FloatsInTheirShortestForm) {
  EXPECT_EQ(Number(0.2F), "0.2");
  EXPECT_EQ(Number(1.0F), "1.0");
  EXPECT_EQ(Number(-0.0F), "-0.0");
  EXPECT_EQ(Number(9e6F), "9e+06");
  EXPECT_EQ(Number(3e-5F), "3e-05");
  EXPECT_EQ(Number(100000.0F), "100000.0");
  EXPECT_EQ(Number(1.0F / 3), "0.333333343");
  EXPECT_EQ(Number(16777215.0F), "16777215.0");
  EXPECT_EQ(Number(1.0 / 3), "0.33333333333333331");
  EXPECT_EQ(Number(0.1), "0.1");
  EXPECT_EQ(Number(NAN), "NaN");
  EXPECT_EQ(Number(-INFINITY), "-Infinity");
  EXPECT_EQ(Number(static_cast<double>(INFINITY)), "Infinity");
  EXPECT_EQ(Number(0x1p-149F), "1.4013e-45");
}

TEST(JsonOutputs, ClassificationsAndRegressions) {
  Tensor classes = Tensor::Strings({2, 1}, {"a", "b"});
  Tensor scores = Floats({2, 1}, {0.5F, 1});
  EXPECT_EQ(PrintClassifications({&classes, &scores, 2, 1}),
            "{\n    \"results\": [[[\"a\", 0.5]], [[\"b\", 1.0]]\n    ]\n}");
  EXPECT_EQ(PrintClassifications({nullptr, &scores, 2, 1}),
            "{\n    \"results\": [[[\"\", 0.5]], [[\"\", 1.0]]\n    ]\n}");
  EXPECT_EQ(PrintRegressions(scores.values<float>()), "{\n    \"results\": [0.5, 1.0]\n}");
}

TEST(JsonOutputs, ErrorsAreObjects) { EXPECT_EQ(PrintError("a \"b\""), "{\n    \"error\": \"a \\\"b\\\"\"\n}"); }

template <class T, class Bits>
void ReadsBackEqual(DataType type, Bits bits) {
  T value = std::bit_cast<T>(bits);
  SignatureMap signatures;
  signatures["serving_default"].inputs["x"] = TensorInfo{.type = type};
  std::string text = Number(value);
  Result<DecodedPredict> read = ParsePredict(text, BodyForm::kInstance, signatures);
  RC_ASSERT(read.has_value());
  T again = read->inputs[0].values<T>()[0];
  RC_ASSERT(std::bit_cast<Bits>(again) == bits || (std::isnan(value) && std::isnan(again)));
  if (!std::isfinite(value)) return;
  // What C's printf makes of it, by which TensorFlow Serving's form is defined.
  std::string expected = fmt::sprintf("%.6g", value);
  bool enough = static_cast<T>(std::strtold(expected.c_str(), nullptr)) == value;
  if (!enough) expected = fmt::sprintf("%.*g", std::numeric_limits<T>::max_digits10, value);
  if (expected.find_first_of(".e") == std::string::npos) expected += ".0";
  RC_ASSERT(text == expected);
}

RC_GTEST_PROP(JsonOutputs, EveryFloatReadsBackEqual, (uint32_t bits)) {
  ReadsBackEqual<float>(DataType::kFloat, bits);
  // Numbers of a common size, which random bits seldom are.
  for (float scale : {1e-14F, 1e-9F, 1e-6F, 1.0F / 1048576, 1e-3F, 0.5F, 1e4F, 1e12F}) {
    for (int digits : {10'000'000, 1'000'000, 1000, 10}) {
      auto common = static_cast<float>(static_cast<int32_t>(bits) % digits) * scale;
      ReadsBackEqual<float>(DataType::kFloat, std::bit_cast<uint32_t>(common));
    }
  }
}

RC_GTEST_PROP(JsonOutputs, EveryDoubleReadsBackEqual, ()) {
  auto bits = *rc::gen::arbitrary<uint64_t>();
  auto shift = *rc::gen::inRange(0, 52);
  ReadsBackEqual<double>(DataType::kDouble, bits);
  ReadsBackEqual<double>(DataType::kDouble, std::bit_cast<uint64_t>(static_cast<double>(bits >> shift) / 1024));
}

}  // namespace
}  // namespace sagebrush::serving
