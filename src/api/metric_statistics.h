#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "metricstore/metric_store.h"

namespace sagebrush::api {

// One statistic of a period's values, by CloudWatch's name: SampleCount, Average, Sum, Minimum, Maximum, or a
// percentile from p0 to p100 (p99.9).
struct Statistic {
  enum class Kind { kSampleCount, kAverage, kSum, kMinimum, kMaximum, kPercentile };
  Kind kind = Kind::kAverage;
  double percent = 0;

  // Code InvalidParameterValue: CloudWatch's other statistics (trimmed means and their kin) are refused by name.
  static Result<Statistic> Parse(std::string_view name);
  bool is_percentile() const { return kind == Kind::kPercentile; }
  // nullopt where the values do not tell (a percentile of summaries).
  std::optional<double> Of(const metricstore::Distribution& values) const;
};

// A period that CloudWatch allows: 1, 5, 10, 20, 30 or a multiple of 60 seconds; at most a year. InvalidParameterValue.
Result<void> CheckPeriod(int64_t period_s);

// Where a range that begins at `start_ms` really begins: at a whole minute, or, as what is kept is coarser, a multiple
// of five minutes (older than 15 days) or an hour (older than 63 days); at a whole period where that is below a minute.
int64_t AlignedStart(int64_t start_ms, int64_t period_s, int64_t now_ms);

Error InvalidValue(std::string message);        // InvalidParameterValue
Error InvalidCombination(std::string message);  // InvalidParameterCombination
Error MissingParameter(std::string message);    // MissingParameter

}  // namespace sagebrush::api
