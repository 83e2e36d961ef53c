#include "api/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"
#include "io/file.h"

namespace sagebrush::api {
namespace {

namespace model = gen::cloudwatch;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr int64_t kHour = 3'600'000;
constexpr int64_t kNow = 500'000 * kHour;  // a whole hour

class MetricsApiTest : public testing::Test {
 protected:
  MetricsApiTest() : directory_(std::filesystem::temp_directory_path() / ("metricsapi-" + RandomHex(8))) {
    store_ = std::move(metricstore::MetricStore::Open(directory_, clock_)).value();
    api_ = std::make_unique<MetricsApi>(*store_, clock_);
  }
  ~MetricsApiTest() override {
    store_.reset();
    EXPECT_TRUE(io::RemoveTree(directory_));
  }

  static model::MetricDatum Datum(const std::string& name, double value, int64_t at_ms = kNow) {
    model::MetricDatum datum;
    datum.MetricName = name;
    datum.Value = value;
    datum.Timestamp = wire::Timestamp{at_ms};
    return datum;
  }
  void Put(std::vector<model::MetricDatum> data) {
    auto reply = api_->PutMetricData({.Namespace = "space", .MetricData = std::move(data)});
    ASSERT_TRUE(reply) << reply.error().message;
  }
  static model::GetMetricStatisticsInput Statistics(const std::string& name, int64_t period_s) {
    model::GetMetricStatisticsInput request;
    request.Namespace = "space";
    request.MetricName = name;
    request.StartTime = {kNow - kHour};
    request.EndTime = {kNow + kHour};
    request.Period = period_s;
    request.Statistics = {"Average"};
    return request;
  }
  static model::MetricDataQuery Query(const std::string& id, const std::string& name, const std::string& stat = "Sum") {
    model::MetricDataQuery query;
    query.Id = id;
    query.MetricStat = model::MetricStat{{"space", name, {}}, 60, stat, {}};
    return query;
  }
  static model::MetricDataQuery Expression(const std::string& id, const std::string& expression) {
    model::MetricDataQuery query;
    query.Id = id;
    query.Expression = expression;
    return query;
  }
  Result<model::GetMetricDataOutput> GetData(std::vector<model::MetricDataQuery> queries) {
    model::GetMetricDataInput request;
    request.MetricDataQueries = std::move(queries);
    request.StartTime = {kNow - kHour};
    request.EndTime = {kNow + kHour};
    request.ScanBy = "TimestampAscending";
    return api_->GetMetricData(request);
  }
  template <class Reply>
  void ExpectCode(const Result<Reply>& reply, std::string_view code, std::string_view part) {
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().code, code) << reply.error().message;
    EXPECT_THAT(reply.error().message, HasSubstr(std::string(part)));
  }
  void ExpectPutRefused(const model::MetricDatum& datum, std::string_view code, std::string_view part) {
    ExpectCode(api_->PutMetricData({.Namespace = "space", .MetricData = {datum}}), code, part);
  }

  std::filesystem::path directory_;
  ManualClock clock_{kNow};
  std::unique_ptr<metricstore::MetricStore> store_;
  std::unique_ptr<MetricsApi> api_;
};

TEST_F(MetricsApiTest, AllFormsOfADatumCount) {
  model::MetricDatum values, set;
  values.MetricName = set.MetricName = "m";
  values.Values = {1, 2};
  values.Counts = {3, 1};
  set.StatisticValues = model::StatisticSet{2, 20, 5, 15};
  Put({Datum("m", 5), values, set});
  auto request = Statistics("m", 60);
  request.Statistics = {"SampleCount", "Sum", "Minimum", "Maximum", "Average"};
  auto reply = *api_->GetMetricStatistics(request);
  EXPECT_EQ(reply.Label, "m");
  ASSERT_THAT(reply.Datapoints, SizeIs(1));
  const model::Datapoint& point = reply.Datapoints[0];
  EXPECT_EQ(point.Timestamp->ms, kNow);
  EXPECT_EQ(point.SampleCount, 7);
  EXPECT_EQ(point.Sum, 30);
  EXPECT_EQ(point.Minimum, 1);
  EXPECT_EQ(point.Maximum, 15);
  EXPECT_EQ(point.Average, 30.0 / 7);
  EXPECT_EQ(point.Unit, "None");
  request.Statistics = {};
  request.ExtendedStatistics = {"p50"};
  EXPECT_THAT(api_->GetMetricStatistics(request)->Datapoints, IsEmpty()) << "a summary hides percentiles";
}

TEST_F(MetricsApiTest, PercentilesOfValues) {
  std::vector<model::MetricDatum> data;
  for (int i = 1; i <= 100; ++i) data.push_back(Datum("m", i));
  Put(data);
  auto request = Statistics("m", 300);
  request.Statistics = {};
  request.ExtendedStatistics = {"p50", "p99.9", "p5"};
  auto reply = *api_->GetMetricStatistics(request);
  ASSERT_THAT(reply.Datapoints, SizeIs(1));
  EXPECT_EQ(reply.Datapoints[0].ExtendedStatistics,
            (std::map<std::string, double>{{"p50", 50}, {"p99.9", 100}, {"p5", 5}}));
  EXPECT_FALSE(reply.Datapoints[0].Average);
}

TEST_F(MetricsApiTest, PeriodsBeginAtTheMinuteOfTheStart) {
  Put({Datum("m", 1, kNow - 30'000), Datum("m", 3, kNow + 30'000)});
  auto request = Statistics("m", 300);
  request.StartTime = {kNow - 90'000 - 1};  // within the minute two before
  auto reply = *api_->GetMetricStatistics(request);
  ASSERT_THAT(reply.Datapoints, SizeIs(1));
  EXPECT_EQ(reply.Datapoints[0].Timestamp->ms, kNow - 120'000);
  EXPECT_EQ(reply.Datapoints[0].Average, 2);
}

TEST_F(MetricsApiTest, PutRefusesByName) {
  ExpectCode(api_->PutMetricData({.Namespace = "AWS/Mine", .MetricData = {Datum("m", 1)}}), "InvalidParameterValue",
             "AWS/Mine");
  ExpectCode(api_->PutMetricData({.Namespace = "space"}), "MissingParameter", "MetricData");
  model::PutMetricDataInput entities{.Namespace = "space"};
  entities.EntityMetricData.emplace_back();
  ExpectCode(api_->PutMetricData(entities), "InvalidParameterValue", "EntityMetricData");
  ExpectCode(api_->PutMetricData({"space", {Datum("m", 1)}, {}, true}), "InvalidParameterValue",
             "StrictEntityValidation");
  std::vector<model::MetricDatum> many(1'001, Datum("m", 1));
  ExpectCode(api_->PutMetricData({.Namespace = "space", .MetricData = many}), "InvalidParameterValue", "1000");

  model::MetricDatum datum = Datum("m", 1);
  datum.Values = {1};
  ExpectPutRefused(datum, "InvalidParameterCombination", "MetricData.member.1");
  datum.Value.reset();
  datum.Counts = {1, 2};
  ExpectPutRefused(datum, "InvalidParameterCombination", "Counts");
  datum.Counts = {-1};
  ExpectPutRefused(datum, "InvalidParameterValue", "Counts");
  datum.Counts = {};
  datum.Values.resize(151, 1);
  ExpectPutRefused(datum, "InvalidParameterValue", "150");
  datum = Datum("m", 1e200);
  ExpectPutRefused(datum, "InvalidParameterValue", "2^360");
  ExpectPutRefused(Datum("m", 1, kNow - 15 * 24 * kHour), "InvalidParameterValue", "two weeks");
  ExpectPutRefused(Datum("m", 1, kNow + 3 * kHour), "InvalidParameterValue", "two hours");
  datum = Datum("m", 1);
  datum.StorageResolution = 5;
  ExpectPutRefused(datum, "InvalidParameterValue", "StorageResolution");
  datum = Datum("m", 1);
  datum.Dimensions = {{"d", "1"}, {"d", "2"}};
  ExpectPutRefused(datum, "InvalidParameterValue", "'d'");
  datum.Dimensions = {{"d", "a\nb"}};
  ExpectPutRefused(datum, "InvalidParameterValue", "control characters");
  EXPECT_THAT(api_->ListMetrics({})->Metrics, IsEmpty()) << "nothing of a refused call is kept";
}

TEST_F(MetricsApiTest, StatisticsRefuseByName) {
  auto request = Statistics("m", 90);
  ExpectCode(api_->GetMetricStatistics(request), "InvalidParameterValue", "Period");
  request = Statistics("m", 1);
  ExpectCode(api_->GetMetricStatistics(request), "InvalidParameterCombination", "1440");
  request = Statistics("m", 60);
  request.ExtendedStatistics = {"p50"};
  ExpectCode(api_->GetMetricStatistics(request), "InvalidParameterCombination", "Statistics");
  request.Statistics = {};
  request.ExtendedStatistics = {"tm99"};
  ExpectCode(api_->GetMetricStatistics(request), "InvalidParameterValue", "tm99");
  request.ExtendedStatistics = {"p101"};
  ExpectCode(api_->GetMetricStatistics(request), "InvalidParameterValue", "p101");
  request.ExtendedStatistics = {};
  ExpectCode(api_->GetMetricStatistics(request), "MissingParameter", "Statistics");
  request = Statistics("m", 60);
  request.EndTime = request.StartTime;
  ExpectCode(api_->GetMetricStatistics(request), "InvalidParameterCombination", "StartTime");
}

TEST_F(MetricsApiTest, QueriesAndExpressions) {
  Put({Datum("a", 8, kNow - 60'000), Datum("a", 6), Datum("b", 2), Datum("b", 0, kNow + 60'000)});
  auto reply = GetData({Query("a", "a"), Query("b", "b"), Expression("ratio", "a / b"),
                        Expression("mixed", "-(a - 2) * 3 + ABS(-1) ^ 2"), Expression("scaled", "ratio * PERIOD(a)")});
  ASSERT_TRUE(reply) << reply.error().message;
  ASSERT_THAT(reply->MetricDataResults, SizeIs(5));
  const auto& results = reply->MetricDataResults;
  EXPECT_EQ(results[0].Label, "a");
  EXPECT_EQ(results[0].StatusCode, "Complete");
  EXPECT_THAT(results[0].Values, ElementsAre(8, 6));
  EXPECT_EQ(results[0].Timestamps[0].ms, kNow - 60'000);
  EXPECT_THAT(results[2].Values, ElementsAre(3)) << "where both have a value";
  EXPECT_THAT(results[3].Values, ElementsAre(-17, -11));
  EXPECT_THAT(results[4].Values, ElementsAre(180));
  EXPECT_FALSE(reply->NextToken);

  model::MetricDataQuery hidden = Query("hidden", "a");
  hidden.ReturnData = false;
  reply = GetData({hidden, Expression("e", "10 / (hidden - 6)")});
  ASSERT_THAT(reply->MetricDataResults, SizeIs(1));
  EXPECT_THAT(reply->MetricDataResults[0].Values, ElementsAre(5)) << "a division by zero has no value";
}

TEST_F(MetricsApiTest, FillClosesGaps) {
  Put({Datum("m", 1), Datum("m", 4, kNow + 180'000)});
  auto reply = GetData({Expression("filled", "FILL(m, 0.5)"), Query("m", "m")});
  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_THAT(reply->MetricDataResults[0].Values, ElementsAre(1, 0.5, 0.5, 4));
}

TEST_F(MetricsApiTest, QueriesAreRefusedByName) {
  auto refused = [&](model::MetricDataQuery query, std::string_view part) {
    ExpectCode(GetData({Query("m", "m"), std::move(query)}), "InvalidParameterValue", part);
  };
  for (const char* bad : {"", "m +", "(m", "m m", "m % 2", "1..2 + m", "FILL(m)"}) refused(Expression("e", bad), "");
  refused(Expression("e", "SEARCH('{space} m', 'Sum')"), "SEARCH");
  refused(Expression("e", "ANOMALY_DETECTION_BAND(m)"), "ANOMALY_DETECTION_BAND");
  refused(Expression("e", "other"), "'other'");
  refused(Expression("e", "e + 1"), "refers to itself");
  refused(Expression("e", "1 + 1"), "names no metric");
  refused(Expression("Upper", "m"), "Id");
  refused(Expression("m", "m"), "twice");
  refused(Expression("e", std::string(200, '(') + "m" + std::string(200, ')')), "nested");
  refused(Query("x", "m", "tm90"), "tm90");
  model::MetricDataQuery query = Query("x", "m");
  query.AccountId = "000000000000";
  refused(query, "AccountId");
  query = Query("x", "m");
  query.Label = "${LAST}";
  refused(query, "label");
  query = Query("x", "m");
  query.MetricStat->Period = 7;
  refused(query, "Period");
  query = Query("x", "m");
  query.Expression = "m";
  ExpectCode(GetData({query}), "InvalidParameterCombination", "exactly one");
  ExpectCode(GetData({}), "MissingParameter", "MetricDataQueries");
  model::MetricDatum other = Datum("m", 1);
  other.Unit = "Bytes";
  Put({Datum("m", 1), other});
  ExpectCode(GetData({Query("x", "m")}), "InvalidParameterCombination", "MetricStat.Unit");
}

TEST_F(MetricsApiTest, DataComeInPages) {
  std::vector<model::MetricDatum> data;
  for (int minute = 0; minute < 10; ++minute) {
    data.push_back(Datum("a", minute, kNow + minute * 60'000));
    data.push_back(Datum("b", 100 + minute, kNow + minute * 60'000));
  }
  Put(data);
  model::GetMetricDataInput request;
  request.MetricDataQueries = {Query("a", "a"), Query("b", "b")};
  request.StartTime = {kNow};
  request.EndTime = {kNow + kHour};
  request.MaxDatapoints = 7;
  std::map<std::string, std::vector<double>> values;
  int pages = 0;
  do {
    auto reply = *api_->GetMetricData(request);
    ++pages;
    size_t shown = 0;
    for (const model::MetricDataResult& result : reply.MetricDataResults) {
      shown += result.Values.size();
      values[*result.Id].insert(values[*result.Id].end(), result.Values.begin(), result.Values.end());
    }
    EXPECT_LE(shown, 7u);
    request.NextToken = reply.NextToken;
  } while (request.NextToken);
  EXPECT_EQ(pages, 3);
  EXPECT_THAT(values["a"], ElementsAre(9, 8, 7, 6, 5, 4, 3, 2, 1, 0)) << "latest first, by default";
  EXPECT_THAT(values["b"], SizeIs(10));
  request.NextToken = "x";
  ExpectCode(api_->GetMetricData(request), "InvalidNextToken", "NextToken");
}

TEST_F(MetricsApiTest, ListsWhatWasPublishedLately) {
  Put({Datum("a", 1), Datum("b", 1)});
  EXPECT_THAT(api_->ListMetrics({.MetricName = "b"})->Metrics, SizeIs(1));
  EXPECT_THAT(api_->ListMetrics({.RecentlyActive = "PT3H"})->Metrics, SizeIs(2));
  clock_.Advance(4 * kHour);
  EXPECT_THAT(api_->ListMetrics({.RecentlyActive = "PT3H"})->Metrics, IsEmpty());
  EXPECT_THAT(api_->ListMetrics({})->Metrics, SizeIs(2));
  clock_.Advance(14 * 24 * kHour);
  EXPECT_THAT(api_->ListMetrics({})->Metrics, IsEmpty());
  ExpectCode(api_->ListMetrics({.OwningAccount = "1"}), "InvalidParameterValue", "OwningAccount");
  ExpectCode(api_->ListMetrics({.IncludeLinkedAccounts = true}), "InvalidParameterValue", "IncludeLinkedAccounts");
}

TEST_F(MetricsApiTest, SpeaksBothProtocols) {
  JsonService json("1.0");
  QueryService query;
  api_->Register(json);
  api_->Register(query);
  CallContext context{.caller = {}, .request_id = "r-1", .invocation_id = ""};
  auto header = [](const http::Response& response, std::string_view name) {
    return std::string(response.headers.Get(name));
  };
  http::Response refused = json.Call(
      "GetMetricStatistics",
      R"({"Namespace":"n","MetricName":"m","StartTime":1,"EndTime":2,"Period":7,"Statistics":["Sum"]})", context);
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(header(refused, "x-amzn-query-error"), "InvalidParameterValue;Sender");
  EXPECT_THAT(std::get<std::string>(refused.body), HasSubstr(R"("__type":"InvalidParameterValueException")"));
  http::Response unknown = json.Call("ListMetrics", R"({"Nonsense":1})", context);
  EXPECT_THAT(std::get<std::string>(unknown.body), HasSubstr("'nonsense' is no member of ListMetricsInput"));

  auto call = [&](std::vector<std::pair<std::string, std::string>> fields) {
    wire::Form form(fields.begin(), fields.end());
    form.emplace_back("Version", "2010-08-01");
    return std::get<std::string>(query.Call(form, context).body);
  };
  EXPECT_THAT(call({{"Action", "PutMetricData"},
                    {"Namespace", "space"},
                    {"MetricData.member.1.MetricName", "q"},
                    {"MetricData.member.1.Value", "2.5"},
                    {"MetricData.member.1.Timestamp", FormatIso8601(kNow)}}),
              HasSubstr("<PutMetricDataResponse"));
  EXPECT_THAT(call({{"Action", "GetMetricStatistics"},
                    {"Namespace", "space"},
                    {"MetricName", "q"},
                    {"StartTime", FormatIso8601(kNow)},
                    {"EndTime", FormatIso8601(kNow + 60'000)},
                    {"Period", "60"},
                    {"Statistics.member.1", "Average"}}),
              HasSubstr("<Average>2.5</Average>"));
  EXPECT_THAT(call({{"Action", "GetMetricStatistics"},
                    {"Namespace", "space"},
                    {"MetricName", "q"},
                    {"StartTime", FormatIso8601(kNow)},
                    {"EndTime", FormatIso8601(kNow + 60'000)},
                    {"Period", "7"},
                    {"Statistics.member.1", "Average"}}),
              HasSubstr("<Code>InvalidParameterValue</Code>"));
  EXPECT_THAT(call({{"Action", "ListMetrics"}, {"Namespace", "space"}, {"Dimensions", ""}}),
              HasSubstr("<MetricName>q</MetricName>"));
  EXPECT_THAT(
      call({{"Action", "ListMetrics"}, {"Dimensions.member.1.Name", "n"}, {"Dimensions.member.1.Nonsense", "1"}}),
      HasSubstr("'Dimensions.member.1.Nonsense' is no member of ListMetricsInput"));
}

}  // namespace
}  // namespace sagebrush::api
