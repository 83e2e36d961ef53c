#include "serving/invocations/json_forms.h"

#include <gmock/gmock.h>

namespace sagebrush::serving {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Serving(const std::string& body) {
  Result<std::string> json = ToServingJson(body);
  return json ? *json : "refused: " + json.error().message;
}

TEST(JsonForms, PassesServingJsonOn) {
  for (const char* body : {R"({"instances": [1.0, 2.0]})", R"({"inputs" : {"x": 1}})",
                           R"({"signature_name": "s", "examples":[{"x": 1.0}]})"}) {
    EXPECT_EQ(Serving(body), body);
  }
}

TEST(JsonForms, TakesSimplifiedJson) {
  EXPECT_EQ(Serving("[[1, 2], [3, 4]]"), R"({"instances":[[1, 2], [3, 4]]})");
  EXPECT_EQ(Serving(" [ \n[1]]"), "{\"instances\":[ \n[1]]}");
  EXPECT_EQ(Serving("[1, 2, 5]"), R"({"instances":[[1, 2, 5]]})");
  EXPECT_EQ(Serving("7"), R"({"instances":[7]})");
  EXPECT_EQ(Serving(R"({"x": [1, 2, 5]})"), R"({"instances":[{"x": [1, 2, 5]}]})");
  EXPECT_EQ(Serving(R"("a \" ] text")"), R"({"instances":["a \" ] text"]})");
}

TEST(JsonForms, TakesSeveralTextsAsAnInstanceEach) {
  EXPECT_EQ(Serving("[1, 2]\n[3, 4]\n"), R"({"instances":[[1, 2],[3, 4]]})");
  EXPECT_EQ(Serving("{\"x\": 1}{\"x\": 2}"), R"({"instances":[{"x": 1},{"x": 2}]})");
  EXPECT_EQ(Serving("[[1]]\r\n\r\n[[2]]"), R"({"instances":[[[1]],[[2]]]})");
  EXPECT_EQ(Serving("1.5\n2.5\n"), R"({"instances":[1.5,2.5]})");
  EXPECT_EQ(Serving("{\"x\": \"}{\"}"), R"({"instances":[{"x": "}{"}]})");
  // The word alone, as a value, is no key of TensorFlow Serving's.
  EXPECT_EQ(Serving(R"({"x": "instances"})"), R"({"instances":[{"x": "instances"}]})");
}

TEST(JsonForms, RefusesWhatIsNoJson) {
  EXPECT_THAT(Serving(""), HasSubstr("The document is empty"));
  EXPECT_THAT(Serving(" \n"), HasSubstr("The document is empty"));
  EXPECT_THAT(Serving("[1, 2"), HasSubstr("has no end"));
  EXPECT_THAT(Serving("\"open"), HasSubstr("has no end"));
  EXPECT_THAT(Serving("1], \"other\": [2"), HasSubstr("Unexpected ']' at offset: 1"));
  EXPECT_THAT(Serving("1, 2"), HasSubstr("Unexpected ','"));
}

TEST(JsonForms, SplitsAtTheTextsEnds) {
  Result<std::vector<std::string_view>> texts = SplitJsonTexts("{\"a\": [1, {\"b\": \"]\"}]} [2]\n\"s\" null 1e5");
  ASSERT_TRUE(texts) << texts.error().message;
  EXPECT_THAT(*texts, ElementsAre("{\"a\": [1, {\"b\": \"]\"}]}", "[2]", "\"s\"", "null", "1e5"));
}

}  // namespace
}  // namespace sagebrush::serving
