#pragma once

#include "base/result.h"
#include "gen/cloudwatch.h"
#include "metricstore/metric_store.h"

namespace sagebrush::api {

// GetMetricData: each query is a statistic of a metric or a metric math expression over others. A page holds at most
// MaxDatapoints values (100,800); a token says how many were shown before, so that pages fit together while nothing
// arrives in their range. Errors: as MetricsApi.
Result<gen::cloudwatch::GetMetricDataOutput> RunMetricDataQueries(metricstore::MetricStore& store,
                                                                  const gen::cloudwatch::GetMetricDataInput& request,
                                                                  int64_t now_ms);

}  // namespace sagebrush::api
