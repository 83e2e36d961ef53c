#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "db/store.h"
#include "logstore/log_store.h"

// The tables of logs.db. An event's place in its stream (sequence) counts from 0 without gaps, and timestamps never
// decrease with it: a time is found by bisection over the primary key, so events need no second index and a page
// costs the same in a short stream and in a long one.
namespace sagebrush::logstore {

db::Migrations LogMigrations();

inline constexpr size_t kPageBytes = 1 << 20;
// What an event counts towards a page, a batch and a group's size: hosted adds 26 bytes to the message.
inline size_t EventBytes(const LogEvent& event) { return event.message.size() + 26; }

// A row of log_streams.
struct StreamRow {
  int64_t id = 0;
  std::string name;
  int64_t created_ms = 0;
  int64_t first_event_ms = 0, last_event_ms = 0, last_ingestion_ms = 0;  // meaningless while events == 0
  int64_t events = 0;
  int64_t source_offset = 0;
};
inline constexpr std::string_view kStreamColumns =
    "id, name, created_ms, first_event_ms, last_event_ms, last_ingestion_ms, events, source_offset";
StreamRow ReadStreamRow(const db::Row& row);

// ResourceNotFoundException in the hosted words when absent.
Result<int64_t> FindGroup(db::Transaction& transaction, const std::string& group);
Result<StreamRow> FindStream(db::Transaction& transaction, int64_t group_id, const std::string& stream);

// The first position in the stream whose event is at or after `time_ms`; the number of events if there is none.
Result<int64_t> LowerBound(db::Transaction& transaction, const StreamRow& stream, int64_t time_ms);

// Calls `visit` with the events at positions [low, high), ascending or descending, until it returns false.
Result<void> ForEachEvent(db::Transaction& transaction, const StreamRow& stream, int64_t low, int64_t high,
                          bool descending, const std::function<bool(LogEvent)>& visit);

// Smallest text that is greater than every text with this prefix (for UTF-8 names).
std::string PrefixEnd(std::string_view prefix);

}  // namespace sagebrush::logstore
