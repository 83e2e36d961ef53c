#include "logstore/filter_pattern.h"

#include <gtest/gtest.h>

namespace sagebrush::logstore {
namespace {

bool Matches(std::string_view pattern, std::string_view message) {
  auto parsed = FilterPattern::Parse(pattern);
  EXPECT_TRUE(parsed) << pattern;
  return parsed && parsed->Matches(message);
}

TEST(FilterPatternTest, EveryTermMustBeThereAndCaseCounts) {
  EXPECT_TRUE(Matches("", "anything"));
  EXPECT_TRUE(Matches("  ", ""));
  EXPECT_TRUE(Matches("ERROR", "[ERRORS] 3"));
  EXPECT_FALSE(Matches("ERROR", "error"));
  EXPECT_TRUE(Matches("loss  epoch", "epoch 3 loss 0.1"));
  EXPECT_FALSE(Matches("loss epoch", "loss 0.1"));
}

TEST(FilterPatternTest, QuotedPhrases) {
  EXPECT_TRUE(Matches("\"loss 0.1\"", "loss 0.1"));
  EXPECT_FALSE(Matches("\"loss 0.1\"", "0.1 loss"));
  EXPECT_TRUE(Matches(R"("say \"hi\"")", R"(they say "hi")"));
  EXPECT_TRUE(Matches(R"("-x")", "f -x"));
  EXPECT_TRUE(Matches(R"("[a]" b)", "[a] b"));
}

TEST(FilterPatternTest, ExcludedTerms) {
  EXPECT_TRUE(Matches("ERROR -\"404 not found\"", "ERROR 500"));
  EXPECT_FALSE(Matches("ERROR -\"404 not found\"", "ERROR 404 not found"));
  EXPECT_TRUE(Matches("-debug", "info"));
  EXPECT_FALSE(Matches("-debug", "a debug line"));
}

TEST(FilterPatternTest, AnyOfTheOptionalTermsUnlessOthersStandBeside) {
  EXPECT_TRUE(Matches("?ERROR ?WARN", "WARN x"));
  EXPECT_FALSE(Matches("?ERROR ?\"WARN y\"", "WARN x"));
  EXPECT_TRUE(Matches("?ERROR loss", "loss only"));
  EXPECT_TRUE(Matches("?ERROR -debug", "loss only"));
}

TEST(FilterPatternTest, OtherFormsAreRefusedByName) {
  for (const auto& [pattern, words] :
       {std::pair{"{ $.level = \"x\" }", "JSON patterns"}, std::pair{" [a, b]", "space-delimited patterns"},
        std::pair{"%a+%", "regular expressions"}, std::pair{"a -%b%", "regular expressions"},
        std::pair{"\"open", "does not end"}, std::pair{"a - b", "before a term"}, std::pair{"?", "before a term"}}) {
    auto parsed = FilterPattern::Parse(pattern);
    ASSERT_FALSE(parsed) << pattern;
    EXPECT_EQ(parsed.error().code, "InvalidParameterException");
    EXPECT_NE(parsed.error().message.find(words), std::string::npos) << parsed.error().message;
  }
  EXPECT_TRUE(Matches("100%", "at 100% now"));
}

}  // namespace
}  // namespace sagebrush::logstore
