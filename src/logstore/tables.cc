#include "logstore/tables.h"

#include <algorithm>

#include "base/check.h"

namespace sagebrush::logstore {
namespace {

constexpr std::string_view kMigrations[] = {
    R"sql(
CREATE TABLE log_groups (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  created_ms INTEGER NOT NULL,
  stored_bytes INTEGER NOT NULL DEFAULT 0,
  kms_key_id TEXT NOT NULL,
  log_class TEXT NOT NULL,
  deletion_protected INTEGER NOT NULL
) STRICT;
CREATE TABLE log_group_tags (
  group_id INTEGER NOT NULL REFERENCES log_groups(id),
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (group_id, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE log_streams (
  id INTEGER PRIMARY KEY,
  group_id INTEGER NOT NULL REFERENCES log_groups(id),
  name TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  first_event_ms INTEGER NOT NULL DEFAULT 0,
  last_event_ms INTEGER NOT NULL DEFAULT 0,
  last_ingestion_ms INTEGER NOT NULL DEFAULT 0,
  events INTEGER NOT NULL DEFAULT 0,
  source_offset INTEGER NOT NULL DEFAULT 0,
  UNIQUE (group_id, name)
) STRICT;
CREATE INDEX log_streams_by_last_event ON log_streams (group_id, last_event_ms, name);
CREATE TABLE log_events (
  stream_id INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  timestamp_ms INTEGER NOT NULL,
  ingestion_ms INTEGER NOT NULL,
  message TEXT NOT NULL,
  PRIMARY KEY (stream_id, sequence)
) STRICT, WITHOUT ROWID;
)sql",
};

constexpr std::string_view kForward =
    "SELECT sequence, timestamp_ms, ingestion_ms, message FROM log_events "
    "WHERE stream_id = ? AND sequence >= ? AND sequence < ? ORDER BY sequence";
constexpr std::string_view kBackward =
    "SELECT sequence, timestamp_ms, ingestion_ms, message FROM log_events "
    "WHERE stream_id = ? AND sequence >= ? AND sequence < ? ORDER BY sequence DESC";

}  // namespace

db::Migrations LogMigrations() { return kMigrations; }

StreamRow ReadStreamRow(const db::Row& row) {
  return {row.Int(0), row.Text(1), row.Int(2), row.Int(3), row.Int(4), row.Int(5), row.Int(6), row.Int(7)};
}

Result<int64_t> FindGroup(db::Transaction& transaction, const std::string& group) {
  TRY(auto rows, transaction.Query("SELECT id FROM log_groups WHERE name = ?", {group}));
  if (rows.empty()) return Fail(NotFound("The specified log group does not exist.", "ResourceNotFoundException"));
  return rows[0].Int(0);
}

Result<StreamRow> FindStream(db::Transaction& transaction, int64_t group_id, const std::string& stream) {
  static const std::string sql =
      "SELECT " + std::string(kStreamColumns) + " FROM log_streams WHERE group_id = ? AND name = ?";
  TRY(auto rows, transaction.Query(sql, {group_id, stream}));
  if (rows.empty()) return Fail(NotFound("The specified log stream does not exist.", "ResourceNotFoundException"));
  return ReadStreamRow(rows[0]);
}

Result<int64_t> LowerBound(db::Transaction& transaction, const StreamRow& stream, int64_t time_ms) {
  if (stream.events == 0 || time_ms <= stream.first_event_ms) return 0;
  if (time_ms > stream.last_event_ms) return stream.events;
  int64_t low = 0, high = stream.events - 1;  // the answer is in [low, high]
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    TRY(auto rows, transaction.Query("SELECT timestamp_ms FROM log_events WHERE stream_id = ? AND sequence = ?",
                                     {stream.id, middle}));
    if (rows.empty()) return Fail(Error(ErrorKind::kDataLoss, "log stream " + stream.name + " misses an event"));
    if (rows[0].Int(0) < time_ms) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

Result<void> ForEachEvent(db::Transaction& transaction, const StreamRow& stream, int64_t low, int64_t high,
                          bool descending, const std::function<bool(LogEvent)>& visit) {
  return transaction.ForEach(descending ? kBackward : kForward, {stream.id, low, high}, [&](const db::Row& row) {
    return visit({row.Int(1), row.Text(3), row.Int(2), row.Int(0), {}});
  });
}

std::string PrefixEnd(std::string_view prefix) { return std::string(prefix) + "\xF4\x8F\xBF\xBF"; }

}  // namespace sagebrush::logstore
