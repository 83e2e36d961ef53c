#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace sagebrush::logstore {

struct LogEvent {
  int64_t timestamp_ms = 0;
  std::string message;
  int64_t ingestion_ms = 0;  // set by the store
  int64_t sequence = 0;      // position in its stream, from 0; set by the store
  std::string stream;        // set by Filter
};

// What CreateLogGroup may say of a group besides its name. Kept and shown; none changes how events are stored.
struct GroupOptions {
  std::string kms_key_id;
  std::string log_class = "STANDARD";
  bool deletion_protected = false;
  std::map<std::string, std::string> tags;
};

struct LogGroup {
  std::string name;
  int64_t created_ms = 0;
  int64_t stored_bytes = 0;  // messages plus 26 bytes for each event, as hosted counts
  GroupOptions options;
};

struct LogStream {
  std::string name;
  int64_t created_ms = 0;
  std::optional<int64_t> first_event_ms, last_event_ms, last_ingestion_ms;
  int64_t events = 0;
};

struct Page {
  std::vector<LogEvent> events;  // by timestamp, then order of arrival
  int64_t first = 0;  // the position that a backward token continues from (exclusive end of what lies before)
  int64_t next = 0;   // the position that a forward token continues at
};

struct GetRequest {
  std::string group, stream;
  std::optional<int64_t> start_ms;  // inclusive
  std::optional<int64_t> end_ms;    // exclusive
  size_t limit = 10'000;            // events; a page also holds at most 1 MiB
  bool from_head = false;
  std::optional<int64_t> forward_from;   // token: events at position >= this
  std::optional<int64_t> backward_from;  // token: events at position < this, the last `limit` of them
};

struct FilterRequest {
  std::string group;
  std::vector<std::string> streams;  // empty: all
  std::string stream_prefix;
  std::optional<int64_t> start_ms;  // inclusive
  std::optional<int64_t> end_ms;    // exclusive
  std::string pattern;              // CloudWatch text pattern: terms, "quoted", -excluded, ?any
  bool descending = false;          // latest first; a token keeps the direction of the request that it came from
  size_t limit = 10'000;            // events; a page also holds at most 1 MiB and looks at a bounded number of events
  std::string token;                // opaque, from the last page
};
struct FilterPage {
  std::vector<LogEvent> events;  // by timestamp, stream, position; may be empty although a token follows
  std::string token;             // "" at the end
};

struct ListGroupsRequest {
  std::string prefix;
  std::string contains;                  // a part of the name, case-sensitive; empty: any
  std::vector<std::string> names;        // empty: all
  std::vector<std::string> log_classes;  // empty: all
  size_t limit = 50;
  std::string token;
};

struct ListStreamsRequest {
  std::string group, prefix;
  bool by_last_event = false;  // then no prefix; streams without events count as 0
  bool descending = false;
  size_t limit = 50;
  std::string token;
};

// Log groups, streams and their events. Thread-safe; every call blocks. Within a stream, timestamps never decrease:
// an older one is raised to the last. Errors: codes ResourceNotFoundException, ResourceAlreadyExistsException,
// InvalidParameterException. Durable when a call returns (SQLite, logs.db).
class LogStore {
 public:
  static Result<std::unique_ptr<LogStore>> Open(const std::filesystem::path& directory, const Clock& clock);
  virtual ~LogStore() = default;

  virtual Result<void> CreateGroup(const std::string& group, const GroupOptions& options = {}) = 0;
  virtual Result<void> CreateStream(const std::string& group, const std::string& stream) = 0;
  virtual Result<void> Put(const std::string& group, const std::string& stream, std::vector<LogEvent> events) = 0;

  // Exactly-once ingestion from a source that can be read again (an instance's log spool): appends `events`, which
  // came from bytes [from, to) of the source, and records `to`, in one commit. Makes group and stream when absent.
  // When the recorded offset is not `from`, nothing is appended. Returns the recorded offset: go on from there.
  virtual Result<uint64_t> Ingest(const std::string& group, const std::string& stream, uint64_t from, uint64_t to,
                                  std::vector<LogEvent> events) = 0;
  // The recorded offset; 0 for an unknown stream.
  virtual Result<uint64_t> IngestedOffset(const std::string& group, const std::string& stream) = 0;

  virtual Result<Page> Get(const GetRequest& request) = 0;
  virtual Result<FilterPage> Filter(const FilterRequest& request) = 0;
  // By name. The second is the token of the next page: "" unless more than `limit` match.
  virtual Result<std::pair<std::vector<LogGroup>, std::string>> ListGroups(const ListGroupsRequest& request) = 0;
  // The second is the token of the next page: "" unless more than `limit` match.
  virtual Result<std::pair<std::vector<LogStream>, std::string>> ListStreams(const ListStreamsRequest& request) = 0;
};

}  // namespace sagebrush::logstore
