#include "metricstore/metric_store.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <stdlib.h>

#include <map>
#include <thread>

#include "metricstore/endpoint_meter.h"
#include "metricstore/recorder.h"

namespace sagebrush::metricstore {
namespace {

constexpr int64_t kHourMs = Retention::kHourMs, kDayMs = 24 * kHourMs;
constexpr int64_t kStartMs = 20'000 * kDayMs;  // midnight

class StoreFiles {
 public:
  StoreFiles() {
    char pattern[] = "/tmp/sagebrush-metrics-XXXXXX";
    directory_ = ::mkdtemp(pattern);
    Open();
  }
  ~StoreFiles() {
    store_.reset();
    std::filesystem::remove_all(directory_);
  }
  void Open() {
    store_.reset();
    store_ = *MetricStore::Open(directory_, clock_);
  }
  MetricStore* operator->() { return store_.get(); }
  MetricStore& operator*() { return *store_; }

  std::filesystem::path directory_;
  ManualClock clock_{kStartMs};
  std::unique_ptr<MetricStore> store_;
};

Metric Named(const std::string& name, std::vector<Dimension> dimensions = {}) {
  return {"space", name, std::move(dimensions)};
}

Datum Value(const Metric& metric, int64_t timestamp_ms, double value, bool high_resolution = false) {
  Datum datum{metric, kNoUnit, timestamp_ms, high_resolution, {}};
  datum.values.Add(value);
  return datum;
}

// Start → (count, sum).
std::map<int64_t, std::pair<double, double>> Sums(MetricStore& store, const RangeRequest& request) {
  std::map<int64_t, std::pair<double, double>> sums;
  auto points = store.Range(request);
  EXPECT_TRUE(points);
  for (const Point& point : *points) sums[point.start_ms] = {point.values.count(), point.values.sum()};
  return sums;
}

RangeRequest Hours(const Metric& metric, int64_t period_ms) {
  return {metric, {}, kStartMs, kStartMs + 24 * kHourMs, period_ms, true};
}

TEST(MetricStore, ValuesOfOnePeriodAreOnePoint) {
  StoreFiles store;
  Metric metric = Named("m", {{"b", "2"}, {"a", "1"}});
  ASSERT_TRUE(store->Put({Value(metric, kStartMs, 1), Value(metric, kStartMs + 59'999, 3)}));
  ASSERT_TRUE(store->Put({Value(metric, kStartMs + 1'000, 5), Value(metric, kStartMs + 60'000, 7)}));
  Metric other_order = Named("m", {{"a", "1"}, {"b", "2"}});
  auto points = *store->Range(Hours(other_order, 60'000));
  ASSERT_EQ(points.size(), 2u);
  EXPECT_EQ(points[0].start_ms, kStartMs);
  EXPECT_EQ(points[0].values.average(), 3);
  EXPECT_EQ(points[0].values.Percentile(50), 3);
  EXPECT_EQ(points[1].values.sum(), 7);
  EXPECT_EQ(Sums(*store, Hours(other_order, 300'000)).size(), 1u);
  EXPECT_TRUE(store->Range(Hours(Named("m"), 60'000))->empty()) << "other dimensions, another metric";
  auto first = *store->Range({other_order, {}, kStartMs, kStartMs + 60'000, 60'000, false});
  ASSERT_EQ(first.size(), 1u) << "the end does not belong to the range";
  EXPECT_EQ(first[0].values.Percentile(50), std::nullopt) << "not asked for";
}

TEST(MetricStore, UnitsAreKeptApart) {
  StoreFiles store;
  Datum bytes = Value(Named("m"), kStartMs, 10), plain = Value(Named("m"), kStartMs, 1);
  bytes.unit = "Bytes";
  ASSERT_TRUE(store->Put({bytes, plain}));
  RangeRequest request = Hours(Named("m"), 60'000);
  EXPECT_EQ(store->Range(request)->size(), 2u);
  request.unit = "Bytes";
  auto points = *store->Range(request);
  ASSERT_EQ(points.size(), 1u);
  EXPECT_EQ(points[0].values.sum(), 10);
}

TEST(MetricStore, OnlyHighResolutionHasSeconds) {
  StoreFiles store;
  ASSERT_TRUE(
      store->Put({Value(Named("fine"), kStartMs + 1'500, 1, true), Value(Named("fine"), kStartMs + 2'000, 2, true),
                  Value(Named("plain"), kStartMs + 1'500, 1)}));
  auto fine = Sums(*store, Hours(Named("fine"), 1'000));
  EXPECT_EQ(fine, (decltype(fine){{kStartMs + 1'000, {1, 1}}, {kStartMs + 2'000, {1, 2}}}));
  EXPECT_TRUE(Sums(*store, Hours(Named("plain"), 1'000)).empty());
  EXPECT_EQ(Sums(*store, Hours(Named("fine"), 60'000)).at(kStartMs), std::make_pair(2.0, 3.0));
}

TEST(MetricStore, OldValuesArePutTogetherAndAtLastForgotten) {
  StoreFiles store;
  Metric metric = Named("m");
  std::vector<Datum> data;
  for (int second = 0; second < 5'000; ++second) data.push_back(Value(metric, kStartMs + second * 1'000, 1, true));
  ASSERT_TRUE(store->Put(data));
  EXPECT_EQ(*store->Sweep(), 0);
  EXPECT_EQ(Sums(*store, Hours(metric, 1'000)).size(), 5'000u);

  store.clock_.Advance(kDayMs);
  EXPECT_GT(*store->Sweep(), 0);
  EXPECT_TRUE(Sums(*store, Hours(metric, 1'000)).empty());
  EXPECT_EQ(Sums(*store, Hours(metric, 60'000)).size(), 84u);
  EXPECT_EQ(store->Range(Hours(metric, 60'000))->front().values.Percentile(99), 1);
  EXPECT_EQ(*store->Sweep(), 0);

  store.clock_.Advance(15 * kDayMs);
  ASSERT_TRUE(store->Sweep());
  EXPECT_TRUE(Sums(*store, Hours(metric, 60'000)).empty());
  EXPECT_EQ(Sums(*store, Hours(metric, 300'000)).size(), 17u);

  store.clock_.Advance(63 * kDayMs);
  ASSERT_TRUE(store->Sweep());
  auto hours = Sums(*store, Hours(metric, kHourMs));
  EXPECT_EQ(hours, (decltype(hours){{kStartMs, {3'600, 3'600}}, {kStartMs + kHourMs, {1'400, 1'400}}}));
  EXPECT_EQ(store->List({})->first.size(), 1u);

  store.clock_.Advance(455 * kDayMs);
  ASSERT_TRUE(store->Sweep());
  EXPECT_TRUE(Sums(*store, Hours(metric, kHourMs)).empty());
  EXPECT_TRUE(store->List({})->first.empty());
}

TEST(MetricStore, ASourceIsTakenInOnce) {
  StoreFiles store;
  Metric metric = Named("loss");
  EXPECT_EQ(*store->IngestedPosition("stream"), 0);
  EXPECT_EQ(*store->Ingest("stream", 0, 10, {Value(metric, kStartMs, 1), Value(metric, kStartMs, 2)}), 10);
  EXPECT_EQ(*store->Ingest("stream", 0, 12, {Value(metric, kStartMs, 9)}), 10) << "the position says it came before";
  store.Open();
  EXPECT_EQ(*store->IngestedPosition("stream"), 10);
  EXPECT_EQ(Sums(*store, Hours(metric, 60'000)).at(kStartMs), std::make_pair(2.0, 3.0));
  auto last = *store->LastIngested({metric, Named("none")});
  ASSERT_TRUE(last[0]);
  EXPECT_EQ(last[0]->value, 2) << "of two at one time the later to arrive";
  EXPECT_FALSE(last[1]);
  ASSERT_TRUE(store->Ingest("other", 0, 1, {Value(metric, kStartMs - 1'000, 7)}));
  EXPECT_EQ((*store->LastIngested({metric}))[0]->value, 2) << "an older value is not the last";
  ASSERT_TRUE(store->Put({Value(metric, kStartMs + 1'000, 8)}));
  EXPECT_EQ((*store->LastIngested({metric}))[0]->value, 2);
  EXPECT_FALSE(store->Ingest("stream", 10, 9, {}));
  store.clock_.Advance(600 * kDayMs);
  ASSERT_TRUE(store->Sweep());
  EXPECT_EQ((*store->LastIngested({metric}))[0]->value, 2) << "kept for good";
}

TEST(MetricStore, ListsByFilterAndPage) {
  StoreFiles store;
  for (int i = 0; i < 7; ++i) {
    ASSERT_TRUE(store->Put({Value(Named("m" + std::to_string(i % 2), {{"n", std::to_string(i)}}), kStartMs, 1)}));
  }
  ListRequest request;
  request.limit = 3;
  std::vector<Metric> found;
  do {
    auto page = *store->List(request);
    EXPECT_LE(page.first.size(), 3u);
    found.insert(found.end(), page.first.begin(), page.first.end());
    request.token = page.second;
  } while (!request.token.empty());
  ASSERT_EQ(found.size(), 7u);
  EXPECT_EQ(found[6], Named("m0", {{"n", "6"}}));
  EXPECT_EQ(store->List({.name = "m1"})->first.size(), 3u);
  EXPECT_EQ(store->List({.dimensions = {{"n", "4"}}})->first.size(), 1u);
  EXPECT_EQ(store->List({.dimensions = {{"n", {}}}})->first.size(), 7u);
  EXPECT_TRUE(store->List({.space = "other"})->first.empty());
  EXPECT_TRUE(store->List({.published_since_ms = kStartMs + 1})->first.empty());
  auto refused = store->List({.token = "nonsense"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "InvalidNextToken");
}

TEST(Recorder, FlushesWhatManyThreadsRecord) {
  StoreFiles store;
  Recorder recorder(*store, store.clock_);
  {
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([meter = recorder.Open(Named("m"), "Count")] {
        for (int value = 0; value < 10'000; ++value) meter->Record(value % 100);
      });
    }
    while (store->Range(Hours(Named("m"), 60'000))->empty()) ASSERT_TRUE(recorder.Flush());
    for (std::thread& thread : threads) thread.join();
  }
  ASSERT_TRUE(recorder.Flush());
  auto points = *store->Range(Hours(Named("m"), 60'000));
  ASSERT_EQ(points.size(), 1u);
  EXPECT_EQ(points[0].unit, "Count");
  EXPECT_EQ(points[0].values.count(), 40'000);
  EXPECT_EQ(points[0].values.average(), 49.5);
  EXPECT_EQ(points[0].values.Percentile(90), 89);
}

TEST(EndpointMeter, RecordsAnInvocationAsTheHostedServiceDoes) {
  StoreFiles store;
  Recorder recorder(*store, store.clock_);
  EndpointMeter meter(recorder, "endpoint", "AllTraffic");
  meter.Invoked({.model_us = 1'000, .overhead_us = 200, .instances = 2});
  meter.Invoked({.status = 424, .model_failed = true, .model_us = 3'000, .overhead_us = 400, .instances = 2});
  meter.Invoked({.status = 503, .instances = 2});
  ASSERT_TRUE(recorder.Flush());
  auto values = [&](const char* name) {
    auto points = *store->Range(Hours({"AWS/SageMaker", name, VariantDimensions("endpoint", "AllTraffic")}, 60'000));
    return points.size() == 1 ? std::make_pair(points[0].values.count(), points[0].values.sum())
                              : std::make_pair(-1.0, -1.0);
  };
  EXPECT_EQ(values("Invocations"), std::make_pair(3.0, 3.0));
  EXPECT_EQ(values("InvocationsPerInstance"), std::make_pair(3.0, 1.5));
  EXPECT_EQ(values("Invocation4XXErrors"), std::make_pair(3.0, 1.0));
  EXPECT_EQ(values("Invocation5XXErrors"), std::make_pair(3.0, 1.0));
  EXPECT_EQ(values("InvocationModelErrors"), std::make_pair(3.0, 1.0));
  EXPECT_EQ(values("ModelLatency"), std::make_pair(2.0, 4'000.0));
  EXPECT_EQ(values("OverheadLatency"), std::make_pair(2.0, 600.0));
}

// However values arrive and whenever the store sweeps, an hour's count and sum are theirs.
RC_GTEST_PROP(MetricStore, NoValueIsLostOrCountedTwice, (std::vector<std::pair<uint16_t, uint8_t>> steps)) {
  StoreFiles store;
  std::map<int64_t, std::pair<double, double>> expected;
  std::vector<Datum> arrived;
  auto put = [&] { RC_ASSERT(store->Put(std::exchange(arrived, {})).has_value()); };
  for (auto [offset_s, value] : steps) {
    int64_t at_ms = kStartMs + offset_s * 1'000;
    arrived.push_back(Value(Named("m"), at_ms, value, value % 2 == 0));
    auto& hour = expected[at_ms / kHourMs * kHourMs];
    hour.first += 1;
    hour.second += value;
    if (value > 200 && store.clock_.NowMs() < kStartMs + 400 * kDayMs) {  // nothing is forgotten yet
      put();
      store.clock_.Advance((value - 200) * kHourMs * 12);
      RC_ASSERT(store->Sweep().has_value());
    }
  }
  put();
  RC_ASSERT(Sums(*store, {Named("m"), {}, kStartMs, kStartMs + 24 * kHourMs, kHourMs, false}) == expected);
}

}  // namespace
}  // namespace sagebrush::metricstore
