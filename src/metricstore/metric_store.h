#pragma once

#include <compare>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "metricstore/distribution.h"

namespace sagebrush::metricstore {

struct Dimension {
  std::string name, value;
  auto operator<=>(const Dimension&) const = default;
};

// What identifies a metric. The order of dimensions means nothing: the store sorts them.
struct Metric {
  std::string space;  // the namespace: "AWS/SageMaker", "/aws/sagemaker/TrainingJobs", a user's own
  std::string name;
  std::vector<Dimension> dimensions;
  auto operator<=>(const Metric&) const = default;
};

inline constexpr char kNoUnit[] = "None";

struct Datum {
  Metric metric;
  std::string unit = kNoUnit;  // one of CloudWatch's; values of different units are kept apart
  int64_t timestamp_ms = 0;
  bool high_resolution = false;  // kept by the second at first, else by the minute
  Distribution values;           // not empty
};

// How long values are kept at each resolution before they are put together to the next coarser one, or forgotten.
// The defaults are CloudWatch's.
struct Retention {
  static constexpr int64_t kHourMs = 3'600'000;
  int64_t seconds_ms = 3 * kHourMs;
  int64_t minutes_ms = 15 * 24 * kHourMs;
  int64_t five_minutes_ms = 63 * 24 * kHourMs;
  int64_t hours_ms = 455 * 24 * kHourMs;
};

struct RangeRequest {
  Metric metric;
  std::optional<std::string> unit;  // nullopt: each unit that there is, apart
  int64_t start_ms = 0;             // inclusive; a multiple of a second, and where the first period begins
  int64_t end_ms = 0;               // exclusive
  int64_t period_ms = 60'000;       // a multiple of a second; what is kept more coarsely than this is not found
  bool percentiles = false;         // whether Distribution::Percentile is wanted: it costs reading more
};
struct Point {
  int64_t start_ms = 0;  // of the period
  std::string unit;
  Distribution values;
};

struct DimensionFilter {
  std::string name;
  std::optional<std::string> value;  // nullopt: any
};
struct ListRequest {
  std::optional<std::string> space, name;
  std::vector<DimensionFilter> dimensions;  // all must be there; others may be
  int64_t published_since_ms = 0;           // metrics that got values since
  size_t limit = 500;
  std::string token;
};

struct LastValue {
  int64_t timestamp_ms = 0;
  double value = 0;
};

// Values of metrics over time. Every value is counted in exactly one row: by the second or minute that it belongs to,
// and later, as retention has it, by five minutes and by the hour. Thread-safe; every call blocks. Durable when a call
// returns (SQLite, metrics.db); a crash leaves each call entirely there or not at all.
class MetricStore {
 public:
  static Result<std::unique_ptr<MetricStore>> Open(const std::filesystem::path& directory, const Clock& clock,
                                                   const Retention& retention = {});
  virtual ~MetricStore() = default;

  virtual Result<void> Put(std::vector<Datum> data) = 0;

  // Exactly-once ingestion from a source that can be read again (a log stream): adds `data`, which came from the
  // source's positions [from, to), records `to`, and keeps the last value of each metric for good, in one commit. When
  // the recorded position is not `from`, nothing is added. Returns the recorded position: go on from there.
  virtual Result<int64_t> Ingest(const std::string& source, int64_t from, int64_t to, std::vector<Datum> data) = 0;
  // The recorded position; 0 for an unknown source.
  virtual Result<int64_t> IngestedPosition(const std::string& source) = 0;
  // The latest value that Ingest added to each metric (of several at one time the one added last), in order; nullopt
  // for one without.
  virtual Result<std::vector<std::optional<LastValue>>> LastIngested(const std::vector<Metric>& metrics) = 0;

  // By time, then unit; periods without values are left out. An unknown metric has none.
  virtual Result<std::vector<Point>> Range(const RangeRequest& request) = 0;
  // In the order in which they first appeared. The second is the token of the next page: "" at the end. Code
  // InvalidNextToken for a token that is none.
  virtual Result<std::pair<std::vector<Metric>, std::string>> List(const ListRequest& request) = 0;

  // Puts old values together and forgets the oldest, as retention has it. Returns how many rows it took away. Call it
  // now and then; small steps, so that others get in between.
  virtual Result<int64_t> Sweep() = 0;
};

}  // namespace sagebrush::metricstore
