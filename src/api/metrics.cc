#include "api/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "api/metric_data_queries.h"
#include "api/metric_statistics.h"
#include "base/text.h"

namespace sagebrush::api {
namespace {

namespace model = gen::cloudwatch;

constexpr char kVersion[] = "2010-08-01";
constexpr char kXmlNamespace[] = "http://monitoring.amazonaws.com/doc/2010-08-01/";
constexpr int64_t kHourMs = metricstore::Retention::kHourMs;
constexpr int64_t kOldestMs = 14 * 24 * kHourMs;  // PutMetricData: older values are refused
constexpr int64_t kNewestMs = 2 * kHourMs;        // and those further in the future
constexpr int64_t kRecentMs = 3 * kHourMs;        // RecentlyActive=PT3H
constexpr size_t kMostData = 1'000;               // of one PutMetricData
constexpr size_t kMostValues = 150;               // of one datum
constexpr int64_t kMostDatapoints = 1'440;        // of one GetMetricStatistics
constexpr size_t kListPage = 500;
const double kLargestValue = std::ldexp(1.0, 360);  // beyond it, CloudWatch refuses

Error Unsupported(std::string_view field, std::string_view instead = "leave it out") {
  return InvalidValue(fmt::format("The parameter {} is not supported by Sagebrush: {}.", field, instead));
}

bool HasControlCharacter(std::string_view text) {
  return std::ranges::any_of(text, [](char c) { return (c >= 0 && c < ' ') || c == 0x7F; });
}

Result<void> CheckValue(std::string_view field, double value) {
  if (std::isfinite(value) && std::fabs(value) <= kLargestValue) return {};
  return Fail(InvalidValue(
      fmt::format("The value {} for parameter {} is invalid: it must lie between -2^360 and 2^360.", value, field)));
}

// The forms that a datum's values come in: exactly one of them.
Result<metricstore::Distribution> ValuesOf(const model::MetricDatum& datum, const std::string& field) {
  metricstore::Distribution values;
  if (datum.Value.has_value() + datum.StatisticValues.has_value() + !datum.Values.empty() != 1) {
    return Fail(InvalidCombination(fmt::format(
        "The parameter {0} must have exactly one of {0}.Value, {0}.StatisticValues and {0}.Values.", field)));
  }
  if (!datum.Counts.empty() && datum.Counts.size() != datum.Values.size()) {
    return Fail(
        InvalidCombination(fmt::format("The parameters {0}.Values and {0}.Counts must be of the same size.", field)));
  }
  if (datum.Value) {
    TRYV(CheckValue(field + ".Value", *datum.Value));
    values.Add(*datum.Value);
    return values;
  }
  if (const auto& set = datum.StatisticValues) {
    for (double value : {set->SampleCount, set->Sum, set->Minimum, set->Maximum}) {
      TRYV(CheckValue(field + ".StatisticValues", value));
    }
    if (set->SampleCount <= 0 || set->Minimum > set->Maximum) {
      return Fail(
          InvalidValue(fmt::format("The parameter {}.StatisticValues must have a positive SampleCount and a "
                                   "Minimum that is not above its Maximum.",
                                   field)));
    }
    values.AddSummary(set->SampleCount, set->Sum, set->Minimum, set->Maximum);
    return values;
  }
  if (datum.Values.size() > kMostValues) {
    return Fail(InvalidValue(fmt::format("The parameter {}.Values has more than {} values.", field, kMostValues)));
  }
  for (size_t i = 0; i < datum.Values.size(); ++i) {
    TRYV(CheckValue(field + ".Values", datum.Values[i]));
    double count = datum.Counts.empty() ? 1 : datum.Counts[i];
    TRYV(CheckValue(field + ".Counts", count));
    if (count < 0) return Fail(InvalidValue(fmt::format("The parameter {}.Counts must not be negative.", field)));
    if (count > 0) values.Add(datum.Values[i], count);
  }
  if (values.empty()) return Fail(InvalidValue(fmt::format("The parameter {}.Counts counts nothing.", field)));
  return values;
}

Result<metricstore::Datum> DatumOf(const std::string& space, const model::MetricDatum& datum, const std::string& field,
                                   int64_t now_ms) {
  metricstore::Datum out;
  TRY(out.metric, MetricOf(space, datum.MetricName, datum.Dimensions));
  TRY(out.values, ValuesOf(datum, field));
  out.unit = datum.Unit.value_or(metricstore::kNoUnit);
  out.timestamp_ms = datum.Timestamp ? datum.Timestamp->ms : now_ms;
  if (out.timestamp_ms < now_ms - kOldestMs || out.timestamp_ms > now_ms + kNewestMs) {
    return Fail(InvalidValue(fmt::format(
        "The parameter {}.Timestamp must specify a time within the past two weeks and the next two hours.", field)));
  }
  int64_t resolution = datum.StorageResolution.value_or(60);
  if (resolution != 1 && resolution != 60) {
    return Fail(
        InvalidValue(fmt::format("The value {} for parameter {}.StorageResolution is invalid: it must be 1 or "
                                 "60.",
                                 resolution, field)));
  }
  out.high_resolution = resolution == 1;
  return out;
}

struct Wanted {
  std::vector<std::pair<std::string, Statistic>> plain, extended;
};

Result<Wanted> WantedStatistics(const model::GetMetricStatisticsInput& request) {
  if (request.Statistics.empty() == request.ExtendedStatistics.empty()) {
    std::string message = "Exactly one of the parameters Statistics and ExtendedStatistics must be given.";
    return Fail(request.Statistics.empty() ? MissingParameter(message) : InvalidCombination(message));
  }
  Wanted wanted;
  for (const std::string& name : request.Statistics) {
    TRY(Statistic statistic, Statistic::Parse(name));
    wanted.plain.emplace_back(name, statistic);
  }
  for (const std::string& name : request.ExtendedStatistics) {
    TRY(Statistic statistic, Statistic::Parse(name));
    if (!statistic.is_percentile()) {
      return Fail(InvalidValue(fmt::format("The statistic '{}' belongs into Statistics.", name)));
    }
    wanted.extended.emplace_back(name, statistic);
  }
  return wanted;
}

// nullopt for a period whose values tell none of the wanted statistics.
std::optional<model::Datapoint> DatapointOf(const metricstore::Point& point, const Wanted& wanted) {
  model::Datapoint out;
  out.Timestamp = wire::Timestamp{point.start_ms};
  out.Unit = point.unit;
  for (const auto& [name, statistic] : wanted.plain) {
    std::optional<double> value = statistic.Of(point.values);
    if (name == "SampleCount") out.SampleCount = value;
    if (name == "Average") out.Average = value;
    if (name == "Sum") out.Sum = value;
    if (name == "Minimum") out.Minimum = value;
    if (name == "Maximum") out.Maximum = value;
  }
  for (const auto& [name, statistic] : wanted.extended) {
    if (std::optional<double> value = statistic.Of(point.values)) out.ExtendedStatistics[name] = *value;
  }
  if (wanted.plain.empty() && out.ExtendedStatistics.empty()) return std::nullopt;
  return out;
}

}  // namespace

Result<metricstore::Metric> MetricOf(const std::string& space, const std::string& name,
                                     const std::vector<model::Dimension>& dimensions) {
  metricstore::Metric metric{space, name, {}};
  if (HasControlCharacter(space) || HasControlCharacter(name)) {
    return Fail(InvalidValue("The parameters Namespace and MetricName must not have control characters."));
  }
  for (const model::Dimension& dimension : dimensions) {
    if (HasControlCharacter(dimension.Name) || HasControlCharacter(dimension.Value) ||
        dimension.Name.starts_with(':')) {
      return Fail(InvalidValue(
          fmt::format("The dimension '{}' is invalid: no control characters, and no ':' at the beginning of a name.",
                      dimension.Name)));
    }
    metric.dimensions.push_back({dimension.Name, dimension.Value});
  }
  std::ranges::sort(metric.dimensions);
  auto twice = std::ranges::adjacent_find(metric.dimensions, {}, &metricstore::Dimension::name);
  if (twice != metric.dimensions.end()) {
    return Fail(InvalidValue(fmt::format("The dimension '{}' is there twice.", twice->name)));
  }
  return metric;
}

void MetricsApi::Register(JsonService& service) {
  service.SetValidationCode("ValidationError");
  service.RefuseUnknownMembers();
  service.SetQueryErrors({{"InvalidParameterValue", "InvalidParameterValueException"},
                          {"InvalidParameterCombination", "InvalidParameterCombinationException"},
                          {"MissingParameter", "MissingRequiredParameterException"},
                          {"InvalidNextToken", "InvalidNextToken"},
                          {"ValidationError", "ValidationException"},
                          {"InternalFailure", "InternalServiceFault"}});
  auto add = [&]<class Request, class Reply>(const char* name, Result<Reply> (MetricsApi::*method)(const Request&)) {
    service.Register<Request, Reply>(
        name, [this, method](const Request& request, const CallContext&) { return (this->*method)(request); });
  };
  add("PutMetricData", &MetricsApi::PutMetricData);
  add("GetMetricStatistics", &MetricsApi::GetMetricStatistics);
  add("GetMetricData", &MetricsApi::GetMetricData);
  add("ListMetrics", &MetricsApi::ListMetrics);
}

void MetricsApi::Register(QueryService& service) {
  auto add = [&]<class Request, class Reply>(const char* name, Result<Reply> (MetricsApi::*method)(const Request&)) {
    service.Register<Request, Reply>(
        kVersion, kXmlNamespace, name,
        [this, method](const Request& request, const CallContext&) { return (this->*method)(request); },
        wire::UnknownMembers::kRefused);
  };
  add("PutMetricData", &MetricsApi::PutMetricData);
  add("GetMetricStatistics", &MetricsApi::GetMetricStatistics);
  add("GetMetricData", &MetricsApi::GetMetricData);
  add("ListMetrics", &MetricsApi::ListMetrics);
}

Result<model::PutMetricDataResponse> MetricsApi::PutMetricData(const model::PutMetricDataInput& request) {
  if (!request.EntityMetricData.empty()) return Fail(Unsupported("EntityMetricData", "use MetricData"));
  if (request.StrictEntityValidation) return Fail(Unsupported("StrictEntityValidation"));
  if (request.Namespace.starts_with("AWS/")) {
    return Fail(
        InvalidValue(fmt::format("The value {} for parameter Namespace is invalid: names that begin with AWS/ "
                                 "are the services' own.",
                                 request.Namespace)));
  }
  if (request.MetricData.empty()) return Fail(MissingParameter("The parameter MetricData is required."));
  if (request.MetricData.size() > kMostData) {
    return Fail(
        InvalidValue(fmt::format("The collection MetricData must not have a size greater than {}.", kMostData)));
  }
  std::vector<metricstore::Datum> data;
  data.reserve(request.MetricData.size());
  int64_t now_ms = clock_.NowMs();
  for (size_t i = 0; i < request.MetricData.size(); ++i) {
    std::string field = fmt::format("MetricData.member.{}", i + 1);
    TRY(metricstore::Datum datum, DatumOf(request.Namespace, request.MetricData[i], field, now_ms));
    data.push_back(std::move(datum));
  }
  TRYV(store_.Put(std::move(data)));
  return model::PutMetricDataResponse{};
}

Result<model::GetMetricStatisticsOutput> MetricsApi::GetMetricStatistics(
    const model::GetMetricStatisticsInput& request) {
  TRY(Wanted wanted, WantedStatistics(request));
  TRYV(CheckPeriod(request.Period));
  if (request.StartTime >= request.EndTime) {
    return Fail(InvalidCombination("The parameter StartTime must be less than the parameter EndTime."));
  }
  metricstore::RangeRequest range;
  TRY(range.metric, MetricOf(request.Namespace, request.MetricName, request.Dimensions));
  range.unit = request.Unit;
  range.period_ms = request.Period * 1000;
  range.start_ms = AlignedStart(request.StartTime.ms, request.Period, clock_.NowMs());
  range.end_ms = request.EndTime.ms;
  range.percentiles = !wanted.extended.empty();
  int64_t datapoints = (request.EndTime.ms - request.StartTime.ms + range.period_ms - 1) / range.period_ms;
  if (datapoints > kMostDatapoints) {
    return Fail(InvalidCombination(
        fmt::format("You have requested up to {} datapoints, which exceeds the limit of {}. You may reduce the "
                    "datapoints requested by increasing Period, or decreasing the time range.",
                    datapoints, kMostDatapoints)));
  }
  TRY(std::vector<metricstore::Point> points, store_.Range(range));
  model::GetMetricStatisticsOutput reply;
  reply.Label = request.MetricName;
  for (const metricstore::Point& point : points) {
    if (std::optional<model::Datapoint> shown = DatapointOf(point, wanted))
      reply.Datapoints.push_back(*std::move(shown));
  }
  return reply;
}

Result<model::GetMetricDataOutput> MetricsApi::GetMetricData(const model::GetMetricDataInput& request) {
  return RunMetricDataQueries(store_, request, clock_.NowMs());
}

Result<model::ListMetricsOutput> MetricsApi::ListMetrics(const model::ListMetricsInput& request) {
  // There is one account here: nothing is linked, and asking for another one's metrics is a mistake.
  if (request.IncludeLinkedAccounts) return Fail(Unsupported("IncludeLinkedAccounts"));
  if (request.OwningAccount) return Fail(Unsupported("OwningAccount"));
  metricstore::ListRequest list;
  list.space = request.Namespace;
  list.name = request.MetricName;
  for (const model::DimensionFilter& filter : request.Dimensions)
    list.dimensions.push_back({filter.Name, filter.Value});
  list.published_since_ms = clock_.NowMs() - (request.RecentlyActive ? kRecentMs : kOldestMs);
  list.limit = kListPage;
  list.token = request.NextToken.value_or("");
  TRY(auto found, store_.List(list));
  model::ListMetricsOutput reply;
  for (metricstore::Metric& metric : found.first) {
    model::Metric& shown = reply.Metrics.emplace_back();
    shown.Namespace = std::move(metric.space);
    shown.MetricName = std::move(metric.name);
    for (metricstore::Dimension& dimension : metric.dimensions) {
      shown.Dimensions.push_back({std::move(dimension.name), std::move(dimension.value)});
    }
  }
  if (!found.second.empty()) reply.NextToken = std::move(found.second);
  return reply;
}

}  // namespace sagebrush::api
