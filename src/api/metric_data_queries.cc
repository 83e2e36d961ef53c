#include "api/metric_data_queries.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "api/metric_math.h"
#include "api/metric_statistics.h"
#include "api/metrics.h"
#include "base/text.h"

namespace sagebrush::api {
namespace {

namespace model = gen::cloudwatch;

constexpr size_t kMostQueries = 500;
constexpr int64_t kMostDatapoints = 100'800;  // of one page
constexpr int64_t kMostPeriods = 1'000'000;   // of all queries together: what a call may cost
constexpr std::string_view kTokenKind = "data\n";

bool IsId(std::string_view id) {
  auto lower = [](char c) { return c >= 'a' && c <= 'z'; };
  return !id.empty() && lower(id[0]) && std::ranges::all_of(id, [&](char c) {
    return lower(c) || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

Result<void> CheckQuery(const model::MetricDataQuery& query) {
  if (!IsId(query.Id)) {
    return Fail(
        InvalidValue(fmt::format("The value '{}' for parameter Id is invalid: it must begin with a lower case "
                                 "letter, and hold only letters, digits and '_'.",
                                 query.Id)));
  }
  if (query.MetricStat.has_value() == query.Expression.has_value()) {
    return Fail(
        InvalidCombination(fmt::format("Query '{}' must have exactly one of MetricStat and Expression.", query.Id)));
  }
  if (query.AccountId) {
    return Fail(
        InvalidValue(fmt::format("The parameter AccountId of query '{}' is not supported by Sagebrush: leave it "
                                 "out.",
                                 query.Id)));
  }
  if (query.Period) {
    return Fail(
        InvalidValue(fmt::format("The parameter Period of query '{}' is not supported by Sagebrush: a metric has "
                                 "its period in MetricStat, and an expression that of its metrics.",
                                 query.Id)));
  }
  if (query.Label && query.Label->contains("${")) {
    return Fail(
        InvalidValue(fmt::format("The dynamic label of query '{}' is not supported by Sagebrush: write one "
                                 "without ${{…}}.",
                                 query.Id)));
  }
  return {};
}

Result<void> CheckRequest(const model::GetMetricDataInput& request) {
  if (request.LabelOptions) {
    return Fail(InvalidValue("The parameter LabelOptions is not supported by Sagebrush: leave it out."));
  }
  if (request.StartTime >= request.EndTime) {
    return Fail(InvalidCombination("The parameter StartTime must be less than the parameter EndTime."));
  }
  if (request.MetricDataQueries.empty()) return Fail(MissingParameter("The parameter MetricDataQueries is required."));
  if (request.MetricDataQueries.size() > kMostQueries) {
    return Fail(InvalidValue(fmt::format("The parameter MetricDataQueries has more than {} queries.", kMostQueries)));
  }
  if (request.MaxDatapoints && (*request.MaxDatapoints < 1 || *request.MaxDatapoints > kMostDatapoints)) {
    return Fail(InvalidValue(fmt::format("The parameter MaxDatapoints must lie between 1 and {}.", kMostDatapoints)));
  }
  return {};
}

// Finds the series of queries, each once. One per request.
class Queries {
 public:
  Queries(metricstore::MetricStore& store, const model::GetMetricDataInput& request, int64_t now_ms)
      : store_(store), request_(request), now_ms_(now_ms) {}

  Result<void> Check() {
    int64_t periods = 0;
    for (const model::MetricDataQuery& query : request_.MetricDataQueries) {
      TRYV(CheckQuery(query));
      if (!by_id_.emplace(query.Id, &query).second) {
        return Fail(InvalidValue(fmt::format("The id '{}' is there twice.", query.Id)));
      }
      if (!query.MetricStat) continue;
      TRYV(CheckPeriod(query.MetricStat->Period));
      periods += (request_.EndTime.ms - request_.StartTime.ms) / (query.MetricStat->Period * 1000) + 1;
    }
    if (periods <= kMostPeriods) return {};
    return Fail(InvalidCombination(fmt::format(
        "The queries ask for up to {} datapoints together, more than {}: increase Period, or shorten the time range.",
        periods, kMostPeriods)));
  }

  Result<TimeSeries> Find(const std::string& id) {
    if (auto known = found_.find(id); known != found_.end()) return known->second;
    auto query = by_id_.find(id);
    if (query == by_id_.end()) return Fail(InvalidValue(fmt::format("There is no query with the id '{}'.", id)));
    if (!looking_for_.insert(id).second) {
      return Fail(InvalidValue(fmt::format("The expression of query '{}' refers to itself.", id)));
    }
    Result<TimeSeries> series =
        query->second->Expression
            ? EvaluateMetricMath(*query->second->Expression, [this](const std::string& other) { return Find(other); })
            : Read(*query->second);
    looking_for_.erase(id);
    if (series) found_[id] = *series;
    return series;
  }

 private:
  Result<TimeSeries> Read(const model::MetricDataQuery& query) {
    const model::MetricStat& stat = *query.MetricStat;
    if (!stat.Metric.Namespace || !stat.Metric.MetricName) {
      return Fail(
          MissingParameter(fmt::format("The metric of query '{}' needs a Namespace and a MetricName.", query.Id)));
    }
    TRY(Statistic statistic, Statistic::Parse(stat.Stat));
    metricstore::RangeRequest range;
    TRY(range.metric, MetricOf(*stat.Metric.Namespace, *stat.Metric.MetricName, stat.Metric.Dimensions));
    range.unit = stat.Unit;
    range.period_ms = stat.Period * 1000;
    range.start_ms = AlignedStart(request_.StartTime.ms, stat.Period, now_ms_);
    range.end_ms = request_.EndTime.ms;
    range.percentiles = statistic.is_percentile();
    TRY(std::vector<metricstore::Point> points, store_.Range(range));
    TimeSeries series;
    series.period_s = stat.Period;
    for (const metricstore::Point& point : points) {
      if (point.unit != points.front().unit) {
        return Fail(
            InvalidCombination(fmt::format("The metric of query '{}' has values in {} and in {}: say which with "
                                           "MetricStat.Unit.",
                                           query.Id, points.front().unit, point.unit)));
      }
      if (std::optional<double> value = statistic.Of(point.values)) series.values[point.start_ms] = *value;
    }
    return series;
  }

  metricstore::MetricStore& store_;
  const model::GetMetricDataInput& request_;
  const int64_t now_ms_;
  std::map<std::string, const model::MetricDataQuery*> by_id_;
  std::map<std::string, TimeSeries> found_;
  std::set<std::string> looking_for_;
};

Result<int64_t> DecodeToken(const std::optional<std::string>& token) {
  if (!token) return 0;
  std::optional<std::string> text = Base64Decode(*token);
  std::optional<int64_t> shown;
  if (text && text->starts_with(kTokenKind)) shown = ParseInt(std::string_view(*text).substr(kTokenKind.size()));
  if (!shown) return Fail(InvalidArgument("NextToken is not one that an earlier reply held.", "InvalidNextToken"));
  return *shown;
}

std::string LabelOf(const model::MetricDataQuery& query) {
  if (query.Label) return *query.Label;
  return query.MetricStat ? *query.MetricStat->Metric.MetricName : query.Id;
}

// Which of all values, counted through the queries, a page shows.
struct PageRange {
  int64_t begin = 0, end = 0;
};

// Adds the part of `series`, whose values have the numbers from `first` on, that belongs to the page.
void Show(const TimeSeries& series, bool descending, int64_t first, PageRange page, model::MetricDataResult& result) {
  int64_t number = first, count = static_cast<int64_t>(series.values.size());
  auto add = [&](int64_t at, double value) {
    if (number >= page.begin && number < page.end) {
      result.Timestamps.push_back({at});
      result.Values.push_back(value);
    }
    ++number;
  };
  if (descending) {
    for (auto entry = series.values.rbegin(); entry != series.values.rend(); ++entry) add(entry->first, entry->second);
  } else {
    for (auto [at, value] : series.values) add(at, value);
  }
  result.StatusCode = first + count > page.end ? "PartialData" : "Complete";
}

}  // namespace

Result<model::GetMetricDataOutput> RunMetricDataQueries(metricstore::MetricStore& store,
                                                        const model::GetMetricDataInput& request, int64_t now_ms) {
  TRYV(CheckRequest(request));
  PageRange page;
  TRY(page.begin, DecodeToken(request.NextToken));
  page.end = page.begin + request.MaxDatapoints.value_or(kMostDatapoints);
  Queries queries(store, request, now_ms);
  TRYV(queries.Check());
  bool descending = request.ScanBy.value_or("TimestampDescending") == "TimestampDescending";
  model::GetMetricDataOutput reply;
  int64_t total = 0;
  for (const model::MetricDataQuery& query : request.MetricDataQueries) {
    if (!query.ReturnData.value_or(true)) continue;
    TRY(TimeSeries series, queries.Find(query.Id));
    model::MetricDataResult& result = reply.MetricDataResults.emplace_back();
    result.Id = query.Id;
    result.Label = LabelOf(query);
    Show(series, descending, total, page, result);
    total += static_cast<int64_t>(series.values.size());
  }
  if (total > page.end) reply.NextToken = Base64Encode(std::string(kTokenKind) + std::to_string(page.end));
  return reply;
}

}  // namespace sagebrush::api
