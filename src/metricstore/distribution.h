#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sagebrush::metricstore {

// What is kept of many values of one metric: how many, their sum, least and greatest, and how often each occurred.
// Values are counted in buckets that are 1/128 of a power of two wide: whole numbers up to 256 exactly, all others
// within 0.4 %. At most kMostBuckets: beyond that, neighbours are put together. A value object; not thread-safe.
class Distribution {
 public:
  static constexpr size_t kMostBuckets = 1024;

  // `value` is finite, `count` positive (not always whole: CloudWatch's Counts are real numbers).
  void Add(double value, double count = 1);
  // Values of which only this is known. Percentiles are lost with it, unless all values are the same.
  void AddSummary(double count, double sum, double minimum, double maximum);
  void Merge(const Distribution& other);

  bool empty() const { return count_ <= 0; }
  double count() const { return count_; }
  double sum() const { return sum_; }
  double minimum() const { return minimum_; }
  double maximum() const { return maximum_; }
  double average() const { return sum_ / count_; }
  // The least value that `percent` (0 to 100) per cent of the values do not exceed; nullopt when summaries are among
  // them, or nothing is.
  std::optional<double> Percentile(double percent) const;

  // The buckets as bytes; "" when summaries are among the values.
  std::string EncodeBuckets() const;
  // kDataLoss for bytes that EncodeBuckets did not make. Without bytes the values are summaries.
  static Result<Distribution> FromStored(double count, double sum, double minimum, double maximum,
                                         std::string_view buckets);

  bool operator==(const Distribution&) const = default;

 private:
  struct Bucket {
    int32_t key = 0;
    double count = 0;
    bool operator==(const Bucket&) const = default;
  };
  void Coarsen();

  double count_ = 0, sum_ = 0;
  double minimum_ = std::numeric_limits<double>::infinity(), maximum_ = -std::numeric_limits<double>::infinity();
  bool ranked_ = true;           // false: buckets_ do not hold all values, and are empty
  std::vector<Bucket> buckets_;  // by key, which orders as the values do
};

}  // namespace sagebrush::metricstore
