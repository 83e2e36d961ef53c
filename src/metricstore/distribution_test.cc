#include "metricstore/distribution.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>

namespace sagebrush::metricstore {
namespace {

Distribution Of(const std::vector<double>& values) {
  Distribution distribution;
  for (double value : values) distribution.Add(value);
  return distribution;
}

Distribution Stored(const Distribution& distribution) {
  auto read = Distribution::FromStored(distribution.count(), distribution.sum(), distribution.minimum(),
                                       distribution.maximum(), distribution.EncodeBuckets());
  EXPECT_TRUE(read);
  return *read;
}

TEST(Distribution, StatisticsOfValues) {
  Distribution distribution = Of({3, -1, 4});
  distribution.Add(2, 3);
  EXPECT_EQ(distribution.count(), 6);
  EXPECT_EQ(distribution.sum(), 12);
  EXPECT_EQ(distribution.minimum(), -1);
  EXPECT_EQ(distribution.maximum(), 4);
  EXPECT_EQ(distribution.average(), 2);
}

TEST(Distribution, PercentilesOfSmallWholeNumbersAreExact) {
  Distribution distribution;
  for (int value = 1; value <= 200; ++value) distribution.Add(value);
  EXPECT_EQ(distribution.Percentile(50), 100);
  EXPECT_EQ(distribution.Percentile(99), 198);
  EXPECT_EQ(distribution.Percentile(99.9), 200);
  EXPECT_EQ(distribution.Percentile(0), 1);
  EXPECT_EQ(distribution.Percentile(100), 200);
  EXPECT_EQ(Of({0.123456}).Percentile(50), 0.123456) << "a single value is its own minimum and maximum";
}

TEST(Distribution, SummariesHaveNoPercentilesUnlessAllValuesAreEqual) {
  Distribution distribution = Of({5});
  distribution.AddSummary(4, 20, 5, 5);
  EXPECT_EQ(distribution.Percentile(50), 5);
  EXPECT_EQ(distribution.count(), 5);
  distribution.AddSummary(2, 30, 10, 20);
  EXPECT_EQ(distribution.Percentile(50), std::nullopt);
  EXPECT_EQ(distribution.average(), 55.0 / 7);
  EXPECT_EQ(distribution.maximum(), 20);
  EXPECT_EQ(distribution.EncodeBuckets(), "");
  Distribution other = Of({1});
  other.Merge(distribution);
  EXPECT_EQ(other.Percentile(50), std::nullopt);
  EXPECT_EQ(Distribution().Percentile(50), std::nullopt);
}

TEST(Distribution, ManyDifferentValuesStayBounded) {
  Distribution distribution;
  for (int i = 0; i < 100'000; ++i) distribution.Add(std::pow(10, i % 600 - 300) * (1 + i % 97));
  EXPECT_LE(distribution.EncodeBuckets().size(), Distribution::kMostBuckets * 8);
  EXPECT_EQ(distribution.count(), 100'000);
  double median = *distribution.Percentile(50);
  EXPECT_GT(median, 1e-2);
  EXPECT_LT(median, 1e4);
}

TEST(Distribution, DamagedBytesAreRefused) {
  for (std::string_view bytes :
       {std::string_view("\xff"), std::string_view("\x02"), std::string_view("\x02\x01\x00", 3)}) {
    auto read = Distribution::FromStored(1, 1, 1, 1, bytes);
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().kind, ErrorKind::kDataLoss);
  }
}

RC_GTEST_PROP(Distribution, PercentilesAreNear, (std::vector<int> numbers)) {
  RC_PRE(!numbers.empty());
  std::vector<double> values;
  for (int number : numbers) values.push_back(number / 7.0);
  Distribution distribution = Of(values);
  std::ranges::sort(values);
  for (double percent : {1.0, 50.0, 90.0, 99.0}) {
    auto rank = static_cast<size_t>(std::ceil(static_cast<double>(values.size()) * percent / 100 - 1e-9));
    double exact = values[std::max<size_t>(rank, 1) - 1];
    RC_ASSERT(std::fabs(*distribution.Percentile(percent) - exact) <= std::fabs(exact) * 0.004);
  }
}

RC_GTEST_PROP(Distribution, PartsMakeTheWholeAndAreStored, (std::vector<int> first, std::vector<int> second)) {
  Distribution whole, parts, other;
  for (int value : first) whole.Add(value), parts.Add(value);
  for (int value : second) whole.Add(value, 0.5), other.Add(value, 0.5);
  parts.Merge(other);
  RC_ASSERT(parts == whole);
  if (!whole.empty()) RC_ASSERT(Stored(whole) == whole);
}

}  // namespace
}  // namespace sagebrush::metricstore
