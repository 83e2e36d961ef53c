#include "serving/codec/json_examples.h"

#include <gmock/gmock.h>

#include "base/text.h"

namespace sagebrush::serving {
namespace {

using ::testing::ElementsAre;

std::string Refusal(std::string_view body) {
  Result<DecodedExamples> parsed = ParseExamples(body);
  return parsed ? "accepted" : parsed.error().message;
}

// The serialized examples below were made by tensorflow.train.Example.SerializeToString(deterministic=True).
TEST(JsonExamples, FeaturesOfEveryKind) {
  Result<DecodedExamples> parsed = ParseExamples(R"({"signature_name": "s", "examples": [{"i": [1, true, -1]},
      {"f": 2.5}, {"b": ["hi", {"b64": "AP8="}]}, {"e": []}]})");
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->signature_name, "s");
  std::vector<std::string> hex;
  for (const std::string& example : parsed->examples) hex.push_back(HexEncode(example));
  EXPECT_THAT(hex,
              ElementsAre("0a170a150a016912101a0e0a0c0101ffffffffffffffffff01", "0a0f0a0d0a0166120812060a0400002040",
                          "0a110a0f0a0162120a0a080a0268690a0200ff", "0a070a050a01651200"));
}

TEST(JsonExamples, TheContextComesFirst) {
  Result<DecodedExamples> with = ParseExamples(R"({"context": {"c": 1}, "examples": [{"a": 2}]})");
  Result<DecodedExamples> context = ParseExamples(R"({"examples": [{"c": 1}]})");
  Result<DecodedExamples> alone = ParseExamples(R"({"examples": [{"a": 2}]})");
  ASSERT_TRUE(with && context && alone);
  EXPECT_EQ(with->examples[0], context->examples[0] + alone->examples[0]);
}

TEST(JsonExamples, WhatIsWrongIsSaid) {
  EXPECT_EQ(Refusal(""), "JSON Parse error: The document is empty");
  EXPECT_EQ(Refusal("[]"), "JSON Value: [] Is not object");
  EXPECT_EQ(Refusal("{}"), "JSON Value: {} When method is classify, key 'examples' is expected and was not found");
  EXPECT_EQ(Refusal(R"({"examples": 1})"),
            "JSON Value: {\n    \"examples\": 1\n} Expecting 'examples' value to be an list/array");
  EXPECT_EQ(Refusal(R"({"examples": []})"),
            "JSON Value: {\n    \"examples\": []\n} 'examples' value is an empty array");
  EXPECT_EQ(Refusal(R"({"examples": [1]})"), "Example must be JSON object but got JSON Number");
  EXPECT_EQ(Refusal(R"({"examples": [{"f": [1, 2.5]}]})"),
            "Unexpected element type in feature: f expecting type: int64");
  EXPECT_EQ(Refusal(R"({"examples": [{"f": [2.5, "a"]}]})"),
            "Unexpected element type in feature: f expecting type: float");
  EXPECT_EQ(Refusal(R"({"examples": [{"f": [[1]]}]})"), "Feature: f has element with unexpected JSON type: Array");
  EXPECT_EQ(Refusal(R"({"examples": [{"f": null}]})"), "Feature: f has element with unexpected JSON type: Null");
  EXPECT_EQ(Refusal(R"({"examples": [{"f": 9223372036854775808}]})"),
            "Feature: f has uint64 element. Only int64 is supported.");
  EXPECT_EQ(Refusal(R"({"examples": [{"f": {"b64": "*"}}]})"), "Unable to base64 decode");
}

}  // namespace
}  // namespace sagebrush::serving
