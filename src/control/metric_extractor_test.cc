#include "control/metric_extractor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

namespace sagebrush::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<double> Values(const std::string& regex, std::string_view line) {
  auto extractor = MetricExtractor::Compile({{"metric", regex}});
  EXPECT_TRUE(extractor) << extractor.error().message;
  std::vector<double> values;
  for (const ExtractedMetric& metric : extractor->Extract(line)) values.push_back(metric.value);
  return values;
}

TEST(MetricExtractor, TakesTheFirstGroupOfEachMatch) {
  EXPECT_THAT(Values("loss: ([0-9\\.]+)", "loss: 0.25 - acc: 0.5"), ElementsAre(0.25));
  EXPECT_THAT(Values("(?P<name>\\w+)=(\\d+)", "a=1"), IsEmpty()) << "the first group is the name";
  EXPECT_THAT(Values("(?:val_)?loss=(\\S+)", "loss=1e-3 val_loss=+2"), ElementsAre(1e-3, 2));
  EXPECT_THAT(Values(".*\\[[0-9]+\\]#011validation-rmse:(\\S+)", "[7]#011validation-rmse:0.5"), ElementsAre(0.5));
  EXPECT_THAT(Values("[0-9]+", "1 22 333"), ElementsAre(1, 22, 333)) << "without a group, the whole match";
  EXPECT_THAT(Values("x*", "ab"), IsEmpty());
  EXPECT_THAT(Values("ü=(.*?);", "ü= -4 ;"), ElementsAre(-4));
}

TEST(MetricExtractor, PassesOverWhatIsNoNumber) {
  for (const char* text : {"v=", "v=abc", "v=0.5%", "v=0.5.", "v=nan", "v=inf", "v=1e999", "v=1e200", "v=+-1"}) {
    EXPECT_THAT(Values("v=(.*)", text), IsEmpty()) << text;
  }
}

TEST(MetricExtractor, SaysWhichDefinitionMatched) {
  auto extractor = *MetricExtractor::Compile({{"a", "a=(\\d)"}, {"b", "b=(\\d)"}});
  auto found = extractor.Extract("b=2 a=1 b=3");
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].definition, 0u);
  EXPECT_EQ(found[1].definition, 1u);
  EXPECT_EQ(found[2].value, 3);
}

TEST(MetricExtractor, RefusesByNameWhatItCannotMatch) {
  for (const char* regex : {"(?<=loss: )[0-9.]+", "(a)\\1", "(", "((a{1000}){1000}){1000}"}) {
    auto refused = MetricExtractor::Compile({{"good", "x"}, {"train:loss", regex}});
    ASSERT_FALSE(refused) << regex;
    EXPECT_EQ(refused.error().code, "ValidationException");
    EXPECT_THAT(refused.error().message, HasSubstr("'train:loss'"));
    EXPECT_THAT(refused.error().message, HasSubstr("RE2"));
  }
}

TEST(MetricExtractor, CatastrophicExpressionsTakeTimeInProportion) {
  std::string line(100'000, 'a');
  auto begun = std::chrono::steady_clock::now();
  EXPECT_THAT(Values("^(a+)+$", line + "!"), IsEmpty());
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(10));
}

}  // namespace
}  // namespace sagebrush::control
