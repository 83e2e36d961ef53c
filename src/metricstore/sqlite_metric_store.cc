#include <algorithm>
#include <map>

#include "base/failpoint.h"
#include "base/text.h"
#include "db/store.h"
#include "io/file.h"
#include "metricstore/tables.h"

namespace sagebrush::metricstore {
namespace {

constexpr int64_t kRowsInOneStep = 1000;  // of a sweep: some ten milliseconds
constexpr int64_t kDayMs = 24 * Retention::kHourMs;
constexpr std::string_view kTokenKind = "metrics\n";

int64_t FloorTo(int64_t value, int64_t step) {
  int64_t rest = value % step;
  return value - (rest < 0 ? rest + step : rest);
}

Result<void> Add(db::Transaction& transaction, std::vector<Datum>& data, int64_t now_ms) {
  std::map<Metric, int64_t> ids;
  std::map<PointKey, Distribution> points;
  for (Datum& datum : data) {
    auto [known, is_new] = ids.try_emplace(datum.metric, 0);
    if (is_new) {
      TRY(known->second, TouchSeries(transaction, datum.metric, now_ms));
    }
    int64_t resolution_s = datum.high_resolution ? 1 : 60;
    int64_t start_s = FloorTo(datum.timestamp_ms, resolution_s * 1000) / 1000;
    points[{known->second, datum.unit, resolution_s, start_s}].Merge(datum.values);
  }
  for (auto& [key, values] : points) TRYV(AddToPoint(transaction, key, std::move(values)));
  return {};
}

// Only the latest of each metric is written, in the order of arrival among equals.
Result<void> KeepLastValues(db::Transaction& transaction, const std::vector<Datum>& data) {
  std::map<Metric, LastValue> latest;
  for (const Datum& datum : data) {
    auto [at, is_new] = latest.try_emplace(datum.metric, LastValue{datum.timestamp_ms, datum.values.average()});
    if (!is_new && datum.timestamp_ms >= at->second.timestamp_ms) {
      at->second = {datum.timestamp_ms, datum.values.average()};
    }
  }
  for (const auto& [metric, value] : latest) {
    TRY(std::optional<int64_t> id, FindSeries(transaction, metric));
    if (!id) return Fail(Internal("a metric that was just added is not there"));
    TRYV(
        transaction.Execute("INSERT INTO last_values (series_id, timestamp_ms, value) VALUES (?, ?, ?) "
                            "ON CONFLICT (series_id) DO UPDATE SET timestamp_ms = excluded.timestamp_ms, "
                            "value = excluded.value WHERE excluded.timestamp_ms >= last_values.timestamp_ms",
                            {*id, value.timestamp_ms, value.value}));
  }
  return {};
}

using Found = std::vector<Point>;

Result<Found> ReadRange(db::Transaction& transaction, const RangeRequest& request) {
  Found found;
  TRY(std::optional<int64_t> id, FindSeries(transaction, request.metric));
  if (!id) return found;
  std::string sql = "SELECT start_s, unit, count, sum, minimum, maximum, ";
  sql += request.percentiles ? "buckets" : "x''";
  sql += " FROM points WHERE series_id = ? AND start_s >= ? AND start_s < ? AND resolution_s <= ?";
  std::vector<db::Value> parameters{*id, request.start_ms / 1000, (request.end_ms + 999) / 1000,
                                    request.period_ms / 1000};
  if (request.unit) {
    sql += " AND unit = ?";
    parameters.emplace_back(*request.unit);
  }
  std::map<std::pair<int64_t, std::string>, Distribution> periods;
  Result<void> damaged;
  TRYV(transaction.ForEach(sql, std::move(parameters), [&](const db::Row& row) {
    Result<Distribution> values = ReadDistribution(row, 2);
    if (!values) {
      damaged = Fail(std::move(values).error());
      return false;
    }
    int64_t offset_ms = FloorTo(row.Int(0) * 1000 - request.start_ms, request.period_ms);
    periods[{request.start_ms + offset_ms, row.Text(1)}].Merge(*values);
    return true;
  }));
  TRYV(damaged);
  for (auto& [key, values] : periods) found.push_back({key.first, key.second, std::move(values)});
  return found;
}

Result<int64_t> DecodeListToken(const std::string& token) {
  if (token.empty()) return 0;
  std::optional<std::string> text = Base64Decode(token);
  std::optional<int64_t> id;
  if (text && text->starts_with(kTokenKind)) id = ParseInt(text->substr(kTokenKind.size()));
  if (!id) return Fail(InvalidArgument("NextToken is not one that an earlier reply held.", "InvalidNextToken"));
  return *id;
}

bool Matches(const std::vector<Dimension>& dimensions, const std::vector<DimensionFilter>& filters) {
  return std::ranges::all_of(filters, [&](const DimensionFilter& filter) {
    return std::ranges::any_of(dimensions, [&](const Dimension& dimension) {
      return dimension.name == filter.name && (!filter.value || dimension.value == *filter.value);
    });
  });
}

using MetricPage = std::pair<std::vector<Metric>, std::string>;

Result<MetricPage> ReadMetrics(db::Transaction& transaction, const ListRequest& request) {
  TRY(int64_t after, DecodeListToken(request.token));
  std::string sql = "SELECT id, space, name, dimensions FROM series WHERE id > ? AND published_ms >= ?";
  std::vector<db::Value> parameters{after, request.published_since_ms};
  if (request.space) {
    sql += " AND space = ?";
    parameters.emplace_back(*request.space);
  }
  if (request.name) {
    sql += " AND name = ?";
    parameters.emplace_back(*request.name);
  }
  MetricPage page;
  int64_t last = 0;
  TRYV(transaction.ForEach(sql + " ORDER BY id", std::move(parameters), [&](const db::Row& row) {
    Metric metric{row.Text(1), row.Text(2), DecodeDimensions(row.Text(3))};
    if (!Matches(metric.dimensions, request.dimensions)) return true;
    if (page.first.size() == request.limit) {
      page.second = Base64Encode(std::string(kTokenKind) + std::to_string(last));
      return false;
    }
    last = row.Int(0);
    page.first.push_back(std::move(metric));
    return true;
  }));
  return page;
}

// MetricStore over a db::Store. Owns the store; no state of its own. Threads: as db::Store.
class SqliteMetricStore final : public MetricStore {
 public:
  SqliteMetricStore(std::unique_ptr<db::Store> store, const Clock& clock, const Retention& retention)
      : store_(std::move(store)), clock_(clock), retention_(retention) {}

  Result<void> Put(std::vector<Datum> data) override {
    return store_->Write([&](db::Transaction& transaction) { return Add(transaction, data, clock_.NowMs()); });
  }

  Result<int64_t> Ingest(const std::string& source, int64_t from, int64_t to, std::vector<Datum> data) override {
    if (from < 0 || to < from) return Fail(InvalidArgument("the positions of a metric's source are no range"));
    int64_t recorded = 0;
    FAILPOINT("metrics.ingest.before_commit");
    TRYV(store_->Write([&](db::Transaction& transaction) -> Result<void> {
      TRY(recorded, ReadPosition(transaction, source));
      if (recorded != from) return {};
      recorded = to;
      TRYV(
          transaction.Execute("INSERT INTO sources (name, position) VALUES (?, ?) "
                              "ON CONFLICT (name) DO UPDATE SET position = excluded.position",
                              {source, to}));
      TRYV(Add(transaction, data, clock_.NowMs()));
      return KeepLastValues(transaction, data);
    }));
    FAILPOINT("metrics.ingest.after_commit");
    return recorded;
  }

  Result<int64_t> IngestedPosition(const std::string& source) override {
    return Reading<int64_t>(ReadPosition, source);
  }

  Result<std::vector<std::optional<LastValue>>> LastIngested(const std::vector<Metric>& metrics) override {
    std::vector<std::optional<LastValue>> values;
    TRYV(store_->Read([&](db::Transaction& transaction) -> Result<void> {
      for (const Metric& metric : metrics) {
        values.emplace_back();
        TRY(std::optional<int64_t> id, FindSeries(transaction, metric));
        if (!id) continue;
        TRY(auto rows, transaction.Query("SELECT timestamp_ms, value FROM last_values WHERE series_id = ?", {*id}));
        if (!rows.empty()) values.back() = LastValue{rows[0].Int(0), rows[0].Real(1)};
      }
      return {};
    }));
    return values;
  }

  Result<std::vector<Point>> Range(const RangeRequest& request) override { return Reading<Found>(ReadRange, request); }
  Result<MetricPage> List(const ListRequest& request) override { return Reading<MetricPage>(ReadMetrics, request); }

  Result<int64_t> Sweep() override {
    int64_t now_ms = clock_.NowMs(), total = 0;
    const int64_t kept_ms[] = {retention_.seconds_ms, retention_.minutes_ms, retention_.five_minutes_ms,
                               retention_.hours_ms};
    for (size_t i = 0; i < std::size(kResolutions); ++i) {
      int64_t coarser_s = i + 1 < std::size(kResolutions) ? kResolutions[i + 1] : 0;
      // Whole rows of the coarser resolution, so that none is written twice.
      int64_t before_s = FloorTo((now_ms - kept_ms[i]) / 1000, std::max<int64_t>(coarser_s, 1));
      for (int64_t moved = kRowsInOneStep; moved == kRowsInOneStep; total += moved) {
        TRYV(store_->Write([&](db::Transaction& transaction) -> Result<void> {
          TRY(moved, MovePoints(transaction, kResolutions[i], coarser_s, before_s, kRowsInOneStep));
          return {};
        }));
      }
    }
    TRYV(store_->Write([&](db::Transaction& transaction) -> Result<void> {
      // A day more: a value may be older or newer than its arrival.
      TRYV(
          transaction.Execute("DELETE FROM series WHERE published_ms < ? AND NOT EXISTS (SELECT 1 FROM last_values "
                              "WHERE series_id = series.id) AND NOT EXISTS (SELECT 1 FROM points WHERE series_id = "
                              "series.id)",
                              {now_ms - retention_.hours_ms - kDayMs}));
      return {};
    }));
    return total;
  }

 private:
  static Result<int64_t> ReadPosition(db::Transaction& transaction, const std::string& source) {
    TRY(auto rows, transaction.Query("SELECT position FROM sources WHERE name = ?", {source}));
    return rows.empty() ? 0 : rows[0].Int(0);
  }

  template <class T, class Request>
  Result<T> Reading(Result<T> (*read)(db::Transaction&, const Request&), const Request& request) {
    T value{};
    TRYV(store_->Read([&](db::Transaction& transaction) -> Result<void> {
      TRY(value, read(transaction, request));
      return {};
    }));
    return value;
  }

  std::unique_ptr<db::Store> store_;
  const Clock& clock_;
  const Retention retention_;
};

}  // namespace

Result<std::unique_ptr<MetricStore>> MetricStore::Open(const std::filesystem::path& directory, const Clock& clock,
                                                       const Retention& retention) {
  TRYV(io::MakeDirectories(directory, 0700));
  TRY(std::unique_ptr<db::Store> store, db::OpenSqlite((directory / "metrics.db").string(), MetricMigrations()));
  return std::make_unique<SqliteMetricStore>(std::move(store), clock, retention);
}

}  // namespace sagebrush::metricstore
