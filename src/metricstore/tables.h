#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "db/store.h"
#include "metricstore/metric_store.h"

// The rows of metrics.db.
namespace sagebrush::metricstore {

db::Migrations MetricMigrations();

// The resolutions that rows have, in seconds, finest first.
inline constexpr int64_t kResolutions[] = {1, 60, 300, 3600};

// Dimensions as one text, sorted; the same for the same set.
std::string EncodeDimensions(std::vector<Dimension> dimensions);
std::vector<Dimension> DecodeDimensions(std::string_view text);

Result<std::optional<int64_t>> FindSeries(db::Transaction& transaction, const Metric& metric);
// Makes the row when there is none, and notes that the metric got a value now.
Result<int64_t> TouchSeries(db::Transaction& transaction, const Metric& metric, int64_t now_ms);

// Which row of `points`: the values of one metric and unit in [start_s, start_s + resolution_s).
struct PointKey {
  int64_t series_id = 0;
  std::string unit;
  int64_t resolution_s = 60;
  int64_t start_s = 0;
  auto operator<=>(const PointKey&) const = default;
};
// Adds `values` to the row, which is made when there is none.
Result<void> AddToPoint(db::Transaction& transaction, const PointKey& key, Distribution values);
// The columns count, sum, minimum, maximum, buckets of a row, from column `first` on.
Result<Distribution> ReadDistribution(const db::Row& row, size_t first);

// Moves up to `limit` rows of `resolution_s` that begin before `before_s` to the resolution `coarser_s`; removes them
// when that is 0. Returns how many.
Result<int64_t> MovePoints(db::Transaction& transaction, int64_t resolution_s, int64_t coarser_s, int64_t before_s,
                           int64_t limit);

}  // namespace sagebrush::metricstore
