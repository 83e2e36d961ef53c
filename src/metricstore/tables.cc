#include "metricstore/tables.h"

#include <algorithm>
#include <map>

#include "base/text.h"

namespace sagebrush::metricstore {
namespace {

// Append only.
constexpr std::string_view kMigrations[] = {
    R"sql(
CREATE TABLE series (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  space TEXT NOT NULL,
  name TEXT NOT NULL,
  dimensions TEXT NOT NULL,
  published_ms INTEGER NOT NULL,   -- when the last value arrived
  UNIQUE (space, name, dimensions)
) STRICT;
CREATE INDEX series_by_publication ON series (published_ms);
CREATE TABLE points (
  series_id INTEGER NOT NULL,
  start_s INTEGER NOT NULL,
  resolution_s INTEGER NOT NULL,
  unit TEXT NOT NULL,
  count REAL NOT NULL,
  sum REAL NOT NULL,
  minimum REAL NOT NULL,
  maximum REAL NOT NULL,
  buckets BLOB NOT NULL,           -- empty: no percentiles
  PRIMARY KEY (series_id, start_s, resolution_s, unit)
) STRICT, WITHOUT ROWID;
CREATE INDEX points_by_age ON points (resolution_s, start_s);
CREATE TABLE sources (
  name TEXT PRIMARY KEY,
  position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE last_values (
  series_id INTEGER PRIMARY KEY,
  timestamp_ms INTEGER NOT NULL,
  value REAL NOT NULL
) STRICT;
)sql",
};

// Control characters are in no name or value (the API refuses them).
constexpr char kBetweenNameAndValue = '\x1f', kAfterDimension = '\x1e';

int64_t FloorTo(int64_t value, int64_t step) {
  int64_t rest = value % step;
  return value - (rest < 0 ? rest + step : rest);
}

}  // namespace

db::Migrations MetricMigrations() { return kMigrations; }

std::string EncodeDimensions(std::vector<Dimension> dimensions) {
  std::ranges::sort(dimensions);
  std::string text;
  for (const Dimension& dimension : dimensions) {
    text += dimension.name + kBetweenNameAndValue + dimension.value + kAfterDimension;
  }
  return text;
}

std::vector<Dimension> DecodeDimensions(std::string_view text) {
  std::vector<Dimension> dimensions;
  for (std::string_view part : Split(text, kAfterDimension)) {
    size_t between = part.find(kBetweenNameAndValue);
    if (between == std::string_view::npos) continue;  // after the last one
    dimensions.push_back({std::string(part.substr(0, between)), std::string(part.substr(between + 1))});
  }
  return dimensions;
}

Result<std::optional<int64_t>> FindSeries(db::Transaction& transaction, const Metric& metric) {
  TRY(auto rows, transaction.Query("SELECT id FROM series WHERE space = ? AND name = ? AND dimensions = ?",
                                   {metric.space, metric.name, EncodeDimensions(metric.dimensions)}));
  if (rows.empty()) return std::nullopt;
  return rows[0].Int(0);
}

Result<int64_t> TouchSeries(db::Transaction& transaction, const Metric& metric, int64_t now_ms) {
  TRY(std::optional<int64_t> id, FindSeries(transaction, metric));
  if (!id) {
    TRYV(transaction.Execute("INSERT INTO series (space, name, dimensions, published_ms) VALUES (?, ?, ?, ?)",
                             {metric.space, metric.name, EncodeDimensions(metric.dimensions), now_ms}));
    TRY(id, FindSeries(transaction, metric));
    return *id;
  }
  TRYV(transaction.Execute("UPDATE series SET published_ms = ? WHERE id = ?", {now_ms, *id}));
  return *id;
}

Result<Distribution> ReadDistribution(const db::Row& row, size_t first) {
  return Distribution::FromStored(row.Real(first), row.Real(first + 1), row.Real(first + 2), row.Real(first + 3),
                                  row.Bytes(first + 4));
}

Result<void> AddToPoint(db::Transaction& transaction, const PointKey& key, Distribution values) {
  TRY(auto rows,
      transaction.Query("SELECT count, sum, minimum, maximum, buckets FROM points WHERE series_id = ? AND start_s = ? "
                        "AND resolution_s = ? AND unit = ?",
                        {key.series_id, key.start_s, key.resolution_s, key.unit}));
  if (!rows.empty()) {
    TRY(Distribution stored, ReadDistribution(rows[0], 0));
    stored.Merge(values);
    values = std::move(stored);
  }
  TRYV(
      transaction.Execute("INSERT INTO points (series_id, start_s, resolution_s, unit, count, sum, minimum, maximum, "
                          "buckets) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
                          "ON CONFLICT (series_id, start_s, resolution_s, unit) DO UPDATE SET count = excluded.count, "
                          "sum = excluded.sum, minimum = excluded.minimum, maximum = excluded.maximum, "
                          "buckets = excluded.buckets",
                          {key.series_id, key.start_s, key.resolution_s, key.unit, values.count(), values.sum(),
                           values.minimum(), values.maximum(), db::Blob{values.EncodeBuckets()}}));
  return {};
}

Result<int64_t> MovePoints(db::Transaction& transaction, int64_t resolution_s, int64_t coarser_s, int64_t before_s,
                           int64_t limit) {
  TRY(auto rows, transaction.Query("SELECT series_id, unit, start_s, count, sum, minimum, maximum, buckets FROM points "
                                   "WHERE resolution_s = ? AND start_s < ? ORDER BY start_s LIMIT ?",
                                   {resolution_s, before_s, limit}));
  std::map<PointKey, Distribution> coarse;
  for (const db::Row& row : rows) {
    TRYV(transaction.Execute("DELETE FROM points WHERE series_id = ? AND start_s = ? AND resolution_s = ? AND unit = ?",
                             {row.Int(0), row.Int(2), resolution_s, row.Text(1)}));
    if (coarser_s == 0) continue;
    TRY(Distribution values, ReadDistribution(row, 3));
    coarse[{row.Int(0), row.Text(1), coarser_s, FloorTo(row.Int(2), coarser_s)}].Merge(values);
  }
  for (auto& [key, values] : coarse) TRYV(AddToPoint(transaction, key, std::move(values)));
  return static_cast<int64_t>(rows.size());
}

}  // namespace sagebrush::metricstore
