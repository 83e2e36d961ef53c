#include "api/metric_statistics.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace sagebrush::api {
namespace {

constexpr int64_t kDayMs = 24 * metricstore::Retention::kHourMs;
constexpr int64_t kYearS = 366 * 24 * 3600;
constexpr int64_t kShortPeriods[] = {1, 5, 10, 20, 30};

constexpr std::pair<std::string_view, Statistic::Kind> kNamed[] = {{"SampleCount", Statistic::Kind::kSampleCount},
                                                                   {"Average", Statistic::Kind::kAverage},
                                                                   {"Sum", Statistic::Kind::kSum},
                                                                   {"Minimum", Statistic::Kind::kMinimum},
                                                                   {"Maximum", Statistic::Kind::kMaximum}};

}  // namespace

Error InvalidValue(std::string message) { return InvalidArgument(std::move(message), "InvalidParameterValue"); }
Error InvalidCombination(std::string message) {
  return InvalidArgument(std::move(message), "InvalidParameterCombination");
}
Error MissingParameter(std::string message) { return InvalidArgument(std::move(message), "MissingParameter"); }

Result<Statistic> Statistic::Parse(std::string_view name) {
  for (const auto& [known, kind] : kNamed) {
    if (name == known) return Statistic{kind, 0};
  }
  if (name.starts_with('p') && name.size() > 1 && name.size() <= 14) {
    double percent = 0;
    auto [end, error] = std::from_chars(name.data() + 1, name.data() + name.size(), percent, std::chars_format::fixed);
    if (error == std::errc() && end == name.data() + name.size() && percent >= 0 && percent <= 100) {
      return Statistic{Kind::kPercentile, percent};
    }
  }
  return Fail(
      InvalidValue(fmt::format("The statistic '{}' is not supported by Sagebrush: use SampleCount, Average, "
                               "Sum, Minimum, Maximum, or a percentile from p0 to p100.",
                               name)));
}

std::optional<double> Statistic::Of(const metricstore::Distribution& values) const {
  switch (kind) {
    case Kind::kSampleCount:
      return values.count();
    case Kind::kAverage:
      return values.average();
    case Kind::kSum:
      return values.sum();
    case Kind::kMinimum:
      return values.minimum();
    case Kind::kMaximum:
      return values.maximum();
    case Kind::kPercentile:
      return values.Percentile(percent);
  }
  return std::nullopt;
}

Result<void> CheckPeriod(int64_t period_s) {
  bool is_short = std::ranges::find(kShortPeriods, period_s) != std::end(kShortPeriods);
  if (is_short || (period_s > 0 && period_s % 60 == 0 && period_s <= kYearS)) return {};
  return Fail(InvalidValue("The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60."));
}

int64_t AlignedStart(int64_t start_ms, int64_t period_s, int64_t now_ms) {
  int64_t age_ms = now_ms - start_ms;
  int64_t step_s = period_s < 60 ? period_s : age_ms < 15 * kDayMs ? 60 : age_ms < 63 * kDayMs ? 300 : 3600;
  int64_t rest_ms = start_ms % (step_s * 1000);
  return start_ms - (rest_ms < 0 ? rest_ms + step_s * 1000 : rest_ms);
}

}  // namespace sagebrush::api
