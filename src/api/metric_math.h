#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sagebrush::api {

// One value for each of some periods, by their start in ms.
struct TimeSeries {
  std::map<int64_t, double> values;
  int64_t period_s = 60;
};

// Evaluates a metric math expression: numbers, ids of other queries, + - * / ^, parentheses, and the functions ABS,
// CEIL, FLOOR, FILL(series, number) and PERIOD. Two series are combined where both have a value; what is no finite
// number is left out. `find` gives the series of an id. Code InvalidParameterValue for what is no such expression, with
// every other function of CloudWatch's refused by its name, and for one without any series.
Result<TimeSeries> EvaluateMetricMath(std::string_view expression,
                                      const std::function<Result<TimeSeries>(const std::string& id)>& find);

}  // namespace sagebrush::api
