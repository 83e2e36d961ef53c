#pragma once

#include "api/call_context.h"
#include "api/json_service.h"
#include "api/query_service.h"
#include "base/clock.h"
#include "base/result.h"
#include "gen/cloudwatch.h"
#include "metricstore/metric_store.h"

namespace sagebrush::api {

// Amazon CloudWatch (API 2010-08-01) over the metric store: putting, listing and reading metrics. Clients of today
// speak JSON 1.0, those of some years ago, as training environments hold them, the Query protocol; both are served, the
// same error codes in each. Stateless; the store and the clock outlive it. Handlers run on the blocking pool, many at
// once. What is not supported is refused by name (docs/compatibility.md).
class MetricsApi {
 public:
  MetricsApi(metricstore::MetricStore& store, const Clock& clock) : store_(store), clock_(clock) {}

  void Register(JsonService& service);
  void Register(QueryService& service);

  Result<gen::cloudwatch::PutMetricDataResponse> PutMetricData(const gen::cloudwatch::PutMetricDataInput& request);
  Result<gen::cloudwatch::GetMetricStatisticsOutput> GetMetricStatistics(
      const gen::cloudwatch::GetMetricStatisticsInput& request);
  Result<gen::cloudwatch::GetMetricDataOutput> GetMetricData(const gen::cloudwatch::GetMetricDataInput& request);
  Result<gen::cloudwatch::ListMetricsOutput> ListMetrics(const gen::cloudwatch::ListMetricsInput& request);

 private:
  metricstore::MetricStore& store_;
  const Clock& clock_;
};

// A request's metric as the store has it. InvalidParameterValue for names that CloudWatch refuses.
Result<metricstore::Metric> MetricOf(const std::string& space, const std::string& name,
                                     const std::vector<gen::cloudwatch::Dimension>& dimensions);

}  // namespace sagebrush::api
