#include "serving/invocations/csv.h"

#include <gmock/gmock.h>
#include <rapidcheck.h>

#include "serving/testing/fake_models.h"

namespace sagebrush::serving {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::InputOf;
using testing::ModelWithInputs;

std::vector<std::string> Texts(const std::string& body) {
  Result<CsvTable> table = ParseCsv(body);
  if (!table) return {"refused: " + table.error().message};
  std::vector<std::string> texts;
  for (const CsvField& field : table->fields) texts.emplace_back(field.text);
  return texts;
}

DecodedPredict Decode(const std::string& body, const Servable& model, CsvHeader header = CsvHeader::kUnstated) {
  Result<DecodedPredict> decoded = DecodeCsv(body, header, model);
  EXPECT_TRUE(decoded) << decoded.error().message;
  return decoded.value_or(DecodedPredict{});
}

std::string Refusal(const std::string& body, const Servable& model, CsvHeader header = CsvHeader::kUnstated) {
  Result<DecodedPredict> decoded = DecodeCsv(body, header, model);
  EXPECT_FALSE(decoded);
  return decoded ? "" : decoded.error().message;
}

TEST(Csv, ReadsQuotesAndLineEnds) {
  EXPECT_THAT(Texts("1,2\n3,4"), ElementsAre("1", "2", "3", "4"));
  EXPECT_THAT(Texts("\r\n1,2\r\n\r\n3,4\r\n"), ElementsAre("1", "2", "3", "4"));
  EXPECT_THAT(Texts("a,,c\n,,\n"), ElementsAre("a", "", "c", "", "", ""));
  EXPECT_THAT(Texts(R"("a,b","line
end","say ""hi""",plain "quote")"),
              ElementsAre("a,b", "line\nend", "say \"hi\"", "plain \"quote\""));
  EXPECT_THAT(Texts("\"\"\"\"\n\"\""), ElementsAre("\"", ""));
  EXPECT_THAT(Texts("\xEF\xBB\xBFx"), ElementsAre("x"));
}

TEST(Csv, SaysWhatIsWrong) {
  EXPECT_THAT(Texts("")[0], HasSubstr("no rows"));
  EXPECT_THAT(Texts("\n \n")[0], HasSubstr("no rows"));
  EXPECT_THAT(Texts("1,2\n3")[0], HasSubstr("row 2 has 1 fields, the first row 2"));
  EXPECT_THAT(Texts("1\n\"open")[0], HasSubstr("row 2 has a quote that does not close"));
  EXPECT_THAT(Texts("\"a\"b")[0], HasSubstr("text behind a closing quote"));
}

TEST(Csv, WhatIsQuotedComesBack) {
  rc::check([](std::vector<std::string> row) {
    if (row.empty()) return;
    std::string line;
    for (const std::string& text : row) {
      line += line.empty() ? "\"" : ",\"";
      for (char c : text) line += c == '"' ? "\"\"" : std::string(1, c);
      line += '"';
    }
    RC_ASSERT(Texts(line + "\n") == row);
  });
}

TEST(Csv, TakesOneColumnAsValuesAndSeveralAsLists) {
  auto open = ModelWithInputs({{"x", InputOf(DataType::kFloat, std::nullopt)}});
  DecodedPredict values = Decode("1.0\n2.0\n5\n", open);
  EXPECT_EQ(values.signature_name, "serving_default");
  EXPECT_EQ(values.inputs[0].shape(), Shape({3}));
  EXPECT_THAT(values.inputs[0].values<float>(), ElementsAre(1, 2, 5));
  DecodedPredict lists = Decode("1.0, 2.0,5.0\n\"1\",-2e3,nan\n", open);
  EXPECT_EQ(lists.inputs[0].shape(), Shape({2, 3}));
  EXPECT_EQ(lists.inputs[0].values<float>()[4], -2000);
  EXPECT_EQ(lists.form, OutputForm::kRow);
}

TEST(Csv, GivesRowsTheInputsShape) {
  auto images = ModelWithInputs({{"x", InputOf(DataType::kUint8, Shape{-1, 2, 2, 1})}});
  EXPECT_EQ(Decode("1,2,3,4\n5,6,7,255\n", images).inputs[0].shape(), Shape({2, 2, 2, 1}));
  auto column = ModelWithInputs({{"x", InputOf(DataType::kInt64, Shape{-1, 1})}});
  EXPECT_EQ(Decode("1\n2\n", column).inputs[0].shape(), Shape({2, 1}));
  EXPECT_EQ(Decode("1,2\n", column).inputs[0].shape(), Shape({1, 2}));  // fits nothing: the model says so
}

TEST(Csv, SkipsAHeaderAboveNumbers) {
  auto model = ModelWithInputs({{"x", InputOf(DataType::kFloat, std::nullopt)}});
  EXPECT_THAT(Decode("width,height\n1,2\n", model).inputs[0].values<float>(), ElementsAre(1, 2));
  EXPECT_THAT(Refusal("width,height\n", model), HasSubstr("a header row and no other"));
  EXPECT_THAT(Refusal("width,height\n1,2\n", model, CsvHeader::kAbsent), HasSubstr("row 1, column 1 holds \"width\""));
  EXPECT_THAT(Decode("1,2\n3,4\n", model, CsvHeader::kPresent).inputs[0].values<float>(), ElementsAre(3, 4));
}

TEST(Csv, TakesTextAsStrings) {
  auto model = ModelWithInputs({{"text", InputOf(DataType::kString, Shape{-1})}});
  DecodedPredict decoded = Decode("\"a, b\"\nplain\n12\n", model);
  EXPECT_THAT(decoded.inputs[0].strings(), ElementsAre("a, b", "plain", "12"));
  EXPECT_THAT(Decode("text\nvalue\n", model, CsvHeader::kPresent).inputs[0].strings(), ElementsAre("value"));
}

TEST(Csv, GivesEachInputItsColumns) {
  auto model = ModelWithInputs({{"age", InputOf(DataType::kInt32, Shape{-1})},
                                {"name", InputOf(DataType::kString, Shape{-1})},
                                {"size", InputOf(DataType::kFloat, Shape{-1, 2})}});
  DecodedPredict decoded = Decode("size,name,size,age\n1,ann,2,30\n3,bob,4,31\n", model);
  ASSERT_EQ(decoded.inputs.size(), 3U);
  EXPECT_THAT(decoded.inputs[0].values<int32_t>(), ElementsAre(30, 31));
  EXPECT_THAT(decoded.inputs[1].strings(), ElementsAre("ann", "bob"));
  EXPECT_EQ(decoded.inputs[2].shape(), Shape({2, 2}));
  EXPECT_THAT(decoded.inputs[2].values<float>(), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(Refusal("1,ann,2,30\n", model), HasSubstr("has the inputs age, name, size"));
  EXPECT_THAT(Refusal("size,name,size\n1,a,2\n", model), HasSubstr("no column is named age"));
  EXPECT_THAT(Refusal("1,a,2,3\n", model, CsvHeader::kAbsent), HasSubstr("send a header row"));
}

TEST(Csv, RefusesValuesThatAreNotOfTheType) {
  auto bytes = ModelWithInputs({{"x", InputOf(DataType::kUint8, std::nullopt)}});
  EXPECT_THAT(Refusal("1\n256\n", bytes), HasSubstr("row 2, column 1 holds \"256\", which is not of type uint8"));
  EXPECT_THAT(Refusal("1.5\n", bytes), HasSubstr("\"1.5\""));
  auto flags = ModelWithInputs({{"x", InputOf(DataType::kBool, std::nullopt)}});
  EXPECT_THAT(Decode("true,0\n", flags).inputs[0].values<bool>(), ElementsAre(true, false));
  EXPECT_THAT(Refusal("true,2\n", flags), HasSubstr("column 2"));
  auto half = ModelWithInputs({{"x", InputOf(DataType::kHalf, std::nullopt)}});
  EXPECT_THAT(Refusal("1\n", half), HasSubstr("of type half"));
}

TEST(Csv, UsesTheOnlySignature) {
  Signature other{.inputs = {{"x", InputOf(DataType::kFloat, std::nullopt)}}, .outputs = {}, .method_name = {}};
  testing::FakeServable one("model", 1, {{"other", other}}, nullptr);
  EXPECT_EQ(Decode("1\n", one).signature_name, "other");
  testing::FakeServable two("model", 1, {{"other", other}, {"third", other}}, nullptr);
  EXPECT_THAT(Refusal("1\n", two), HasSubstr("Serving signature name: \"serving_default\" not found"));
}

}  // namespace
}  // namespace sagebrush::serving
