#include "serving/invocations/json_forms.h"

#include <gmock/gmock.h>

namespace sagebrush::serving {
namespace {

TEST(JsonForms, ServingJsonIsKnownByItsKeys) {
  for (const char* body : {R"({"instances": [1.0, 2.0]})", R"({"inputs" : {"x": 1}})",
                           R"({"signature_name": "s", "examples":[{"x": 1.0}]})"}) {
    EXPECT_EQ(FormOfInvocation(body), BodyForm::kServing) << body;
  }
  // The word alone, as a value, is no key.
  EXPECT_EQ(FormOfInvocation(R"({"x": "instances"})"), BodyForm::kInstance);
}

TEST(JsonForms, SimplifiedJsonIsOneInstanceOrAListOfThem) {
  for (const char* body : {"[[1, 2], [3, 4]]", " [ \n[1]]\n"}) {
    EXPECT_EQ(FormOfInvocation(body), BodyForm::kInstances) << body;
  }
  for (const char* body : {"[1, 2, 5]", "7", R"({"x": [[1, 2, 5]]})", R"("a \" ] text")", "[]", "{}"}) {
    EXPECT_EQ(FormOfInvocation(body), BodyForm::kInstance) << body;
  }
}

TEST(JsonForms, SeveralTextsAreAnInstanceEach) {
  for (const char* body : {"[1, 2]\n[3, 4]\n", "{\"x\": 1}{\"x\": 2}", "[[1]]\r\n\r\n[[2]]", "1.5\n2.5\n",
                           "{\"x\": \"}{\"}{}", "\"a\" \"b\"", "null 1e5"}) {
    EXPECT_EQ(FormOfInvocation(body), BodyForm::kLines) << body;
  }
}

TEST(JsonForms, WhatIsNoJsonIsLeftToTheReader) {
  for (const char* body : {"", " \n", "[1, 2", "\"open", "1], \"other\": [2", "1, 2", "]", ",", "\"\\"}) {
    SignatureMap signatures;
    signatures["serving_default"].inputs["x"].type = DataType::kFloat;
    EXPECT_FALSE(ParsePredict(body, FormOfInvocation(body), signatures)) << body;
  }
}

}  // namespace
}  // namespace sagebrush::serving
