#include "serving/codec/json_body.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <cstdlib>

namespace sagebrush::serving {
namespace {

using ::testing::ElementsAre;

SignatureMap Signatures(std::vector<std::pair<std::string, DataType>> inputs) {
  SignatureMap signatures;
  for (auto& [name, type] : inputs)
    signatures["serving_default"].inputs[name] = TensorInfo{.name = "x:0", .type = type};
  return signatures;
}

SignatureMap Floats() { return Signatures({{"x", DataType::kFloat}}); }

// The tensors of a body that is right.
DecodedPredict Parsed(std::string_view body, const SignatureMap& signatures, BodyForm form = BodyForm::kServing) {
  Result<DecodedPredict> parsed = ParsePredict(body, form, signatures);
  EXPECT_TRUE(parsed) << parsed.error().message;
  EXPECT_TRUE(CheckPredict(body, form, signatures)) << body;
  return parsed ? *std::move(parsed) : DecodedPredict{.inputs = Tensors(signatures.begin()->second.inputs.size())};
}

// What a body that is wrong is refused with.
std::string Refusal(std::string_view body, const SignatureMap& signatures = Floats(),
                    BodyForm form = BodyForm::kServing) {
  Result<DecodedPredict> parsed = ParsePredict(body, form, signatures);
  return parsed ? "accepted" : parsed.error().message;
}

TEST(JsonBody, RowsOfOneInputGainTheBatchDimension) {
  DecodedPredict decoded = Parsed(R"({"instances": [[[1.5, -2], [3e2, 4]], [[5, 6], [7, 8]]]})", Floats());
  EXPECT_EQ(decoded.signature_name, "serving_default");
  EXPECT_EQ(decoded.form, OutputForm::kRow);
  ASSERT_EQ(decoded.inputs.size(), 1U);
  const Tensor& tensor = decoded.inputs[0];
  EXPECT_EQ(tensor.type(), DataType::kFloat);
  EXPECT_EQ(tensor.shape(), (Shape{2, 2, 2}));
  EXPECT_THAT(tensor.values<float>(), ElementsAre(1.5F, -2, 300, 4, 5, 6, 7, 8));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.data()) % kTensorAlignment, 0U);
}

TEST(JsonBody, ScalarsAndEmptyListsAreRowsToo) {
  EXPECT_EQ(Parsed(R"({"instances":[1.0, 2.0, 5.0]})", Floats()).inputs[0].shape(), (Shape{3}));
  EXPECT_EQ(Parsed(R"({"instances":[[], []]})", Floats()).inputs[0].shape(), (Shape{2, 0}));
  EXPECT_EQ(Parsed(R"({"instances":[[[],[]]]})", Floats()).inputs[0].shape(), (Shape{1, 2, 0}));
}

TEST(JsonBody, RowsOfSeveralInputsAreObjectsInAnyOrderOfKeys) {
  SignatureMap signatures = Signatures({{"a", DataType::kFloat}, {"b", DataType::kInt64}});
  DecodedPredict decoded = Parsed(R"({"instances":[{"b":[1,2],"a":0.5},{"a":1.5,"b":[3,4]}]})", signatures);
  ASSERT_EQ(decoded.inputs.size(), 2U);
  EXPECT_THAT(decoded.inputs[0].values<float>(), ElementsAre(0.5F, 1.5F));
  EXPECT_EQ(decoded.inputs[1].shape(), (Shape{2, 2}));
  EXPECT_THAT(decoded.inputs[1].values<int64_t>(), ElementsAre(1, 2, 3, 4));
}

TEST(JsonBody, ColumnsMayBeScalarsAndOfDifferentBatches) {
  DecodedPredict decoded = Parsed(R"({"inputs": 7})", Floats());
  EXPECT_EQ(decoded.form, OutputForm::kColumn);
  EXPECT_EQ(decoded.inputs[0].shape(), Shape{});
  SignatureMap signatures = Signatures({{"a", DataType::kFloat}, {"b", DataType::kInt32}});
  decoded = Parsed(R"({"inputs": {"more": [null], "b": [1, 2, 3], "a": [[0.5]]}})", signatures);
  EXPECT_EQ(decoded.inputs[0].shape(), (Shape{1, 1}));
  EXPECT_THAT(decoded.inputs[1].values<int32_t>(), ElementsAre(1, 2, 3));
}

TEST(JsonBody, EveryTypeIsRead) {
  auto whole = [](DataType type) { return Parsed(R"({"inputs": [0, 1, 127]})", Signatures({{"x", type}})).inputs[0]; };
  EXPECT_THAT(whole(DataType::kInt8).values<int8_t>(), ElementsAre(0, 1, 127));
  EXPECT_THAT(whole(DataType::kUint8).values<uint8_t>(), ElementsAre(0, 1, 127));
  EXPECT_THAT(whole(DataType::kInt16).values<int16_t>(), ElementsAre(0, 1, 127));
  EXPECT_THAT(whole(DataType::kInt32).values<int32_t>(), ElementsAre(0, 1, 127));
  EXPECT_THAT(whole(DataType::kUint32).values<uint32_t>(), ElementsAre(0, 1, 127));
  EXPECT_THAT(whole(DataType::kDouble).values<double>(), ElementsAre(0, 1, 127));
  EXPECT_THAT(Parsed(R"({"inputs": [18446744073709551615]})", Signatures({{"x", DataType::kUint64}}))
                  .inputs[0]
                  .values<uint64_t>(),
              ElementsAre(UINT64_MAX));
  EXPECT_THAT(Parsed(R"({"inputs": [-9223372036854775808]})", Signatures({{"x", DataType::kInt64}}))
                  .inputs[0]
                  .values<int64_t>(),
              ElementsAre(INT64_MIN));
  EXPECT_THAT(Parsed(R"({"inputs": [true, false]})", Signatures({{"x", DataType::kBool}})).inputs[0].values<bool>(),
              ElementsAre(true, false));
}

TEST(JsonBody, StringsComePlainOrInBase64) {
  SignatureMap strings = Signatures({{"x", DataType::kString}});
  DecodedPredict decoded =
      Parsed(R"({"instances": [{"b64": "AP8="}, "a\"\u00e9\ud83d\ude00\n", {"b64":"YQ"}]})", strings);
  EXPECT_THAT(decoded.inputs[0].strings(), ElementsAre(std::string("\0\xff", 2), "a\"é😀\n", "a"));
  EXPECT_EQ(Parsed(R"({"inputs": {"b64": "YQ=="}})", strings).inputs[0].shape(), Shape{});
  EXPECT_EQ(Parsed(R"({"instances": [[["a"], [{"b64": ""}]]]})", strings).inputs[0].shape(), (Shape{1, 2, 1}));
  EXPECT_EQ(Refusal(R"({"instances": [{"b64": "*"}]})", strings),
            "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: Unable to base64 decode");
  EXPECT_EQ(
      Refusal(R"({"instances": ["a", [{"b64": 1}]]})", strings),
      "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: {\n    \"b64\": 1\n} "
      "not formatted correctly for base64 data");
}

TEST(JsonBody, NanAndInfinityAreTokens) {
  std::span<const float> values;
  DecodedPredict decoded = Parsed(R"({"inputs": [NaN, Infinity, -Infinity, Inf, -Inf, -0.0]})", Floats());
  values = decoded.inputs[0].values<float>();
  EXPECT_TRUE(std::isnan(values[0]));
  EXPECT_EQ(values[1], INFINITY);
  EXPECT_EQ(values[2], -INFINITY);
  EXPECT_EQ(values[3], INFINITY);
  EXPECT_EQ(values[4], -INFINITY);
  EXPECT_TRUE(std::signbit(values[5]));
}

TEST(JsonBody, StopsAfterTheFirstValue) {
  EXPECT_EQ(Parsed("\xEF\xBB\xBF {\"instances\":[1]} and more", Floats()).inputs[0].shape(), (Shape{1}));
}

TEST(JsonBody, TheSignatureMayBeNamedBehindTheData) {
  SignatureMap signatures = Floats();
  signatures["other"].inputs["y"] = TensorInfo{.type = DataType::kInt32};
  DecodedPredict decoded = Parsed(R"({"instances": [1, 2], "signature_name": "other"})", signatures);
  EXPECT_EQ(decoded.signature_name, "other");
  EXPECT_EQ(decoded.inputs[0].type(), DataType::kInt32);
  signatures["serving_default"].inputs["x"].type = DataType::kString;
  EXPECT_EQ(Parsed(R"({"inputs": 1, "signature_name": "other"})", signatures).form, OutputForm::kColumn);
}

TEST(JsonBody, OtherForms) {
  EXPECT_EQ(Parsed("[[1, 2], [3, 4]]", Floats(), BodyForm::kInstances).inputs[0].shape(), (Shape{2, 2}));
  EXPECT_EQ(Parsed("[1, 2]", Floats(), BodyForm::kInstance).inputs[0].shape(), (Shape{1, 2}));
  EXPECT_EQ(Parsed(" 5", Floats(), BodyForm::kInstance).inputs[0].shape(), (Shape{1}));
  EXPECT_EQ(Parsed("[1, 2]\n\n[3, 4]\r\n [5, 6]\n", Floats(), BodyForm::kLines).inputs[0].shape(), (Shape{3, 2}));
  SignatureMap two = Signatures({{"a", DataType::kFloat}, {"b", DataType::kFloat}});
  EXPECT_EQ(Parsed("{\"a\":1,\"b\":2}\n{\"b\":1,\"a\":2}", two, BodyForm::kLines).inputs[1].shape(), (Shape{2}));
  EXPECT_EQ(
      Refusal("[1]\n[1, 2]", Floats(), BodyForm::kLines),
      "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting tensor size: 1 but got: 2");
  EXPECT_EQ(Refusal("[1]\n[1,", Floats(), BodyForm::kLines), "JSON Parse error: Invalid value. at offset: 7");
  EXPECT_EQ(Refusal("\n \n", Floats(), BodyForm::kLines), "JSON Parse error: The document is empty. at offset: 3");
  EXPECT_EQ(Refusal("5", Floats(), BodyForm::kInstances), "JSON Value: 5 Expecting 'instances' to be an list/array");
}

TEST(JsonBody, ParseErrorsAreRapidJsons) {
  auto at = [](std::string_view fault, int offset) {
    return fmt::format("JSON Parse error: {} at offset: {}", fault, offset);
  };
  EXPECT_EQ(Refusal(""), "JSON Parse error: The document is empty");
  EXPECT_EQ(Refusal("  "), at("The document is empty.", 2));
  EXPECT_EQ(Refusal("hello"), at("Invalid value.", 0));
  EXPECT_EQ(Refusal("{"), at("Missing a name for object member.", 1));
  EXPECT_EQ(Refusal("{1:2}"), at("Missing a name for object member.", 1));
  EXPECT_EQ(Refusal(R"({"a" 1})"), at("Missing a colon after a name of object member.", 5));
  EXPECT_EQ(Refusal(R"({"a":1 "b":2})"), at("Missing a comma or } after an object member.", 7));
  EXPECT_EQ(Refusal(R"({"instances":[1 2]})"), at("Missing a comma or ] after an array element.", 16));
  EXPECT_EQ(Refusal(R"({"instances":[1,]})"), at("Invalid value.", 16));
  EXPECT_EQ(Refusal(R"({"instances":[1.]})"), at("Miss fraction part in number.", 16));
  EXPECT_EQ(Refusal(R"({"instances":[1e]})"), at("Miss exponent in number.", 16));
  EXPECT_EQ(Refusal(R"({"instances":[1e309]})"), at("Number too big to be stored in double.", 14));
  EXPECT_EQ(Refusal(R"({"instances":[nul]})"), at("Invalid value.", 17));
  EXPECT_EQ(Refusal(R"({"instances":[01]})"), at("Missing a comma or ] after an array element.", 15));
  EXPECT_EQ(Refusal(R"({"instances":["abc)"), at("Missing a closing quotation mark in string.", 18));
  EXPECT_EQ(Refusal(R"({"instances":["\x"]})"), at("Invalid escape character in string.", 15));
  EXPECT_EQ(Refusal(R"({"instances":["\u12g4"]})"), at("Incorrect hex digit after \\u escape in string.", 15));
  EXPECT_EQ(Refusal(R"({"instances":["\ud800x"]})"), at("The surrogate pair in string is invalid.", 15));
  EXPECT_EQ(Refusal("{\"instances\":[\"a\nb\"]}"), at("Invalid encoding in string.", 16));
}

TEST(JsonBody, DeepNestingIsRefusedAtAnyDepth) {
  EXPECT_EQ(Refusal(R"({"instances":)" + std::string(1'000'000, '[')),
            "JSON Parse error: Nesting deeper than 256 levels is not supported. at offset: 268");
  std::string deep = R"({"inputs":)" + std::string(254, '[') + "1" + std::string(254, ']') + "}";
  EXPECT_EQ(Refusal(deep), "Lists nested deeper than 253 levels are not supported.");
  deep = R"({"inputs":)" + std::string(253, '[') + "1" + std::string(253, ']') + "}";
  EXPECT_EQ(Parsed(deep, Floats()).inputs[0].shape().size(), 253U);
}

TEST(JsonBody, DocumentsOfAnotherForm) {
  EXPECT_EQ(Refusal("[1]"), "JSON Value: [\n    1\n] Is not object");
  EXPECT_EQ(
      Refusal(R"({"signature_name": 5, "instances": [1]})"),
      "JSON Value: {\n    \"signature_name\": 5,\n    \"instances\": [\n        1\n    ]\n} not formatted correctly. "
      "'signature_name' key must be a string value.");
  EXPECT_EQ(Refusal(R"({"signature_name": "no", "instances": [1]})"),
            "Serving signature name: \"no\" not found in signature def");
  EXPECT_EQ(
      Refusal(R"({"instances": [1], "inputs": 1})"),
      "JSON Value: {\n    \"instances\": [\n        1\n    ],\n    \"inputs\": 1\n} Not formatted correctly expecting "
      "only one of 'inputs' or 'instances' keys to exist ");
  EXPECT_EQ(Refusal(R"({"x": 1})"), "Missing 'inputs' or 'instances' key");
  EXPECT_EQ(Refusal(R"({})"), "Missing 'inputs' or 'instances' key");
  EXPECT_EQ(Refusal(R"({"instances": 1})"),
            "JSON Value: {\n    \"instances\": 1\n} Expecting 'instances' to be an list/array");
  EXPECT_EQ(Refusal(R"({"instances": []})"), "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array");
}

TEST(JsonBody, ElementsOfAnotherType) {
  std::string row = "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: ";
  EXPECT_EQ(Refusal(R"({"instances": [1, "x"]})"),
            row + "JSON Value: \"x\" Type: String is not of expected type: float");
  EXPECT_EQ(Refusal(R"({"inputs": [null]})"), "JSON Value: null Type: Null is not of expected type: float");
  EXPECT_EQ(Refusal(R"({"inputs": [1e39]})"), "Cannot convert JSON value: 1e+39 to float without loss of precision.");
  SignatureMap ints = Signatures({{"x", DataType::kInt32}});
  EXPECT_EQ(Refusal(R"({"inputs": 1.0})", ints), "JSON Value: 1.0 Type: Number is not of expected type: int32");
  EXPECT_EQ(Refusal(R"({"inputs": 2147483648})", ints),
            "JSON Value: 2147483648 Type: Number is not of expected type: int32");
  EXPECT_EQ(Refusal(R"({"inputs": 300})", Signatures({{"x", DataType::kUint8}})),
            "JSON Value: 300 Type: Number is not of expected type: uint8");
  EXPECT_EQ(Refusal(R"({"inputs": -1})", Signatures({{"x", DataType::kUint64}})),
            "JSON Value: -1 Type: Number is not of expected type: uint64");
  EXPECT_EQ(Refusal(R"({"inputs": 1})", Signatures({{"x", DataType::kBool}})),
            "JSON Value: 1 Type: Number is not of expected type: bool");
  Result<DecodedPredict> half =
      ParsePredict(R"({"inputs": 1})", BodyForm::kServing, Signatures({{"x", DataType::kHalf}}));
  ASSERT_FALSE(half);
  EXPECT_EQ(half.error().code, "UNIMPLEMENTED");
  EXPECT_EQ(half.error().message, "Conversion of JSON Value: 1 to type: half");
}

TEST(JsonBody, RaggedLists) {
  EXPECT_EQ(Refusal(R"({"inputs": [[1, 2], [3]]})"),
            "Encountered list at unexpected size: 1 at level: 1 expected size: 2");
  EXPECT_EQ(Refusal(R"({"inputs": [1, [2]]})"), "Encountered list at unexpected level: 1 expected < 1");
  EXPECT_EQ(Refusal(R"({"inputs": [[1], 2]})"),
            "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2");
  std::string row = "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: ";
  EXPECT_EQ(Refusal(R"({"instances": [[1], [1, 2]]})"), row + "Expecting tensor size: 1 but got: 2");
  EXPECT_EQ(Refusal(R"({"instances": [[1, 2], [[1, 2]]]})"), row + "Expecting shape [2] but got: [1,2]");
}

TEST(JsonBody, RowsThatDoNotFitTheSignature) {
  SignatureMap two = Signatures({{"a", DataType::kFloat}, {"b", DataType::kFloat}});
  EXPECT_EQ(Refusal(R"({"instances": [1]})", two),
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map");
  EXPECT_EQ(Refusal(R"({"instances": [{"a":1,"b":1}, 5]})", two),
            "Expecting object but got list at item 1 of input list");
  EXPECT_EQ(Refusal(R"({"instances": [5, {"x":1}]})"), "Expecting value/list but got object at item 1 of input list");
  EXPECT_EQ(
      Refusal(R"({"instances": [{"a":1}]})", two),
      "Failed to process element: 0 of 'instances' list. JSON object: {\n    \"a\": 1\n} keys must be equal to: a,b");
  EXPECT_EQ(
      Refusal(R"({"instances": [{"a":1,"b":1,"a":2}]})", two),
      "Failed to process element: 0 of 'instances' list. JSON object: {\n    \"a\": 1,\n    \"b\": 1,\n    \"a\": 2\n} "
      "keys must be equal to: a,b");
  EXPECT_EQ(
      Refusal(R"({"instances": [{"a":1,"c":1}]})", two),
      "Failed to process element: 0 key: c of 'instances' list. Error: INVALID_ARGUMENT: JSON object: does not have "
      "named input: c");
  EXPECT_EQ(Refusal(R"({"inputs": {"a": 1}})", two), "Missing named input: b in 'inputs' object.");
  EXPECT_EQ(
      Refusal(R"({"inputs": [1]})", two),
      "inputs is a plain value/list, but expecting an object as multiple input tensors required as per tensorinfo_map");
}

TEST(JsonBody, ValuesInMessagesAreCut) {
  std::string message = Refusal(R"({"inputs": ")" + std::string(10'000, 'a') + "\"}");
  EXPECT_EQ(message, "JSON Value: \"" + std::string(255, 'a') + " Type: String is not of expected type: float");
}

float ReadFloat(const std::string& text) {
  return Parsed("{\"inputs\": [" + text + "]}", Floats()).inputs[0].values<float>()[0];
}

TEST(JsonBody, FloatsAreRoundedOnce) {
  // Rounded to a double first, these end on the midpoint of two floats, and the tie is broken the wrong way.
  EXPECT_EQ(ReadFloat("1.00000017881393432617187499"), 0x1.000002p0F);
  EXPECT_EQ(ReadFloat("1.00000017881393432617187500000000000001"), 0x1.000004p0F);
  EXPECT_EQ(ReadFloat("1.4e-45"), 0x1p-149F);
  EXPECT_EQ(ReadFloat("1e-50"), 0.0F);
  EXPECT_EQ(ReadFloat("0." + std::string(400, '0') + "1e401"), 1.0F);
  EXPECT_EQ(ReadFloat("3.4028235e38"), std::numeric_limits<float>::max());
}

RC_GTEST_PROP(JsonBody, DecimalsReadAsTheLibraryReadsThem, ()) {
  auto digits = *rc::gen::nonEmpty(rc::gen::container<std::string>(rc::gen::inRange('0', static_cast<char>('9' + 1))));
  auto fraction =
      *rc::gen::nonEmpty(rc::gen::container<std::string>(rc::gen::inRange('0', static_cast<char>('9' + 1))));
  std::string text = "1" + digits + "." + fraction + "e" + std::to_string(*rc::gen::inRange(-80, 20));
  float expected = std::strtof(text.c_str(), nullptr);
  RC_PRE(std::isfinite(expected));
  RC_ASSERT(ReadFloat(text) == expected);
  RC_ASSERT(
      Parsed("{\"inputs\": " + text + "}", Signatures({{"x", DataType::kDouble}})).inputs[0].values<double>()[0] ==
      std::strtod(text.c_str(), nullptr));
}

}  // namespace
}  // namespace sagebrush::serving
