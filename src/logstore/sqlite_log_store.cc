#include <algorithm>
#include <limits>

#include "base/text.h"
#include "io/file.h"
#include "logstore/filter_query.h"
#include "logstore/log_store.h"
#include "logstore/page_token.h"
#include "logstore/tables.h"

namespace sagebrush::logstore {
namespace {

constexpr std::string_view kGroupToken = "g", kStreamToken = "s", kStreamByEventToken = "e";

Error AlreadyExists(std::string_view what) {
  return {ErrorKind::kAlreadyExists, "The specified " + std::string(what) + " already exists",
          "ResourceAlreadyExistsException"};
}

bool IsAscii(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return (static_cast<unsigned char>(c) & 0x80) != 0; });
}

Result<int64_t> InsertGroup(db::Transaction& transaction, const std::string& group, const GroupOptions& options,
                            int64_t now_ms) {
  TRYV(transaction.Execute(
      "INSERT INTO log_groups (name, created_ms, kms_key_id, log_class, deletion_protected) VALUES (?, ?, ?, ?, ?)",
      {group, now_ms, options.kms_key_id, options.log_class, int64_t{options.deletion_protected}}));
  TRY(int64_t id, FindGroup(transaction, group));
  for (const auto& [key, value] : options.tags) {
    TRYV(transaction.Execute("INSERT INTO log_group_tags (group_id, key, value) VALUES (?, ?, ?)", {id, key, value}));
  }
  return id;
}

Result<void> InsertStream(db::Transaction& transaction, int64_t group_id, const std::string& stream, int64_t now_ms) {
  TRYV(transaction.Execute("INSERT INTO log_streams (group_id, name, created_ms) VALUES (?, ?, ?)",
                           {group_id, stream, now_ms}));
  return {};
}

// Appends `events` and brings the stream's and the group's row up to date; records the source offset too.
Result<void> Append(db::Transaction& transaction, int64_t group_id, StreamRow stream, std::vector<LogEvent> events,
                    int64_t source_offset, int64_t now_ms) {
  int64_t bytes = 0;
  for (LogEvent& event : events) {
    int64_t time_ms = stream.events == 0 ? event.timestamp_ms : std::max(event.timestamp_ms, stream.last_event_ms);
    if (stream.events == 0) stream.first_event_ms = time_ms;
    stream.last_event_ms = time_ms;
    if (!IsAscii(event.message)) event.message = ReplaceInvalidUtf8(event.message);
    bytes += static_cast<int64_t>(EventBytes(event));
    TRYV(transaction.Execute(
        "INSERT INTO log_events (stream_id, sequence, timestamp_ms, ingestion_ms, message) VALUES (?, ?, ?, ?, ?)",
        {stream.id, stream.events, time_ms, now_ms, std::move(event.message)}));
    ++stream.events;
  }
  if (!events.empty()) stream.last_ingestion_ms = now_ms;
  TRYV(
      transaction.Execute("UPDATE log_streams SET first_event_ms = ?, last_event_ms = ?, last_ingestion_ms = ?, "
                          "events = ?, source_offset = ? WHERE id = ?",
                          {stream.first_event_ms, stream.last_event_ms, stream.last_ingestion_ms, stream.events,
                           source_offset, stream.id}));
  TRYV(transaction.Execute("UPDATE log_groups SET stored_bytes = stored_bytes + ? WHERE id = ?", {bytes, group_id}));
  return {};
}

// The positions [low, high) that a GetRequest asks for, and from which end.
struct Range {
  int64_t low = 0, high = 0;
  bool from_end = false;
};

Result<Range> RangeOf(db::Transaction& transaction, const StreamRow& stream, const GetRequest& request) {
  Range range{0, stream.events, !request.from_head};
  if (request.start_ms) {
    TRY(range.low, LowerBound(transaction, stream, *request.start_ms));
  }
  if (request.end_ms) {
    TRY(range.high, LowerBound(transaction, stream, *request.end_ms));
  }
  range.high = std::max(range.low, range.high);
  if (request.forward_from) {
    range.from_end = false;
    range.low = std::max(range.low, *request.forward_from);
  } else if (request.backward_from) {
    range.from_end = true;
    range.high = std::min(range.high, *request.backward_from);
  }
  return range;
}

Result<Page> ReadPage(db::Transaction& transaction, const GetRequest& request) {
  TRY(int64_t group_id, FindGroup(transaction, request.group));
  TRY(StreamRow stream, FindStream(transaction, group_id, request.stream));
  TRY(Range range, RangeOf(transaction, stream, request));
  Page page;
  size_t bytes = 0;
  if (range.low < range.high && request.limit > 0) {
    TRYV(ForEachEvent(transaction, stream, range.low, range.high, range.from_end, [&](LogEvent event) {
      bytes += EventBytes(event);
      if (!page.events.empty() && bytes > kPageBytes) return false;
      page.events.push_back(std::move(event));
      return page.events.size() < request.limit;
    }));
  }
  if (range.from_end) std::ranges::reverse(page.events);
  if (!page.events.empty()) {
    page.first = page.events.front().sequence;
    page.next = page.events.back().sequence + 1;
  } else {
    // An empty page stays where it was asked for, so that events which come later are not skipped.
    int64_t at = range.from_end ? range.high : range.low;
    page.first = page.next = request.forward_from.value_or(request.backward_from.value_or(at));
  }
  return page;
}

LogStream ToLogStream(const StreamRow& row) {
  LogStream stream{row.name, row.created_ms, {}, {}, {}, row.events};
  if (row.events > 0) {
    stream.first_event_ms = row.first_event_ms;
    stream.last_event_ms = row.last_event_ms;
    stream.last_ingestion_ms = row.last_ingestion_ms;
  }
  return stream;
}

// The token's "continue after" of a listing by name or by (last event, name).
struct StreamsAfter {
  int64_t last_event_ms = 0;
  std::string name;
};

Result<std::optional<StreamsAfter>> DecodeStreamsToken(const ListStreamsRequest& request) {
  if (request.token.empty()) return std::nullopt;
  if (!request.by_last_event) {
    TRY(auto fields, DecodeToken(kStreamToken, 1, request.token));
    return StreamsAfter{0, fields[0]};
  }
  TRY(auto fields, DecodeToken(kStreamByEventToken, 2, request.token));
  std::optional<int64_t> time = ParseInt(fields[0]);
  if (!time) return Fail(InvalidToken());
  return StreamsAfter{*time, fields[1]};
}

using StreamList = std::pair<std::vector<LogStream>, std::string>;

Result<StreamList> ReadStreams(db::Transaction& transaction, const ListStreamsRequest& request) {
  TRY(int64_t group_id, FindGroup(transaction, request.group));
  TRY(std::optional<StreamsAfter> after, DecodeStreamsToken(request));
  std::string sql = "SELECT " + std::string(kStreamColumns) + " FROM log_streams WHERE group_id = ?";
  std::vector<db::Value> parameters{group_id};
  std::string beyond = request.descending ? " < " : " > ", direction = request.descending ? " DESC" : "";
  if (request.by_last_event) {
    if (after) {
      sql += " AND (last_event_ms, name)" + beyond + "(?, ?)";
      parameters.insert(parameters.end(), {after->last_event_ms, after->name});
    }
    sql += " ORDER BY last_event_ms" + direction + ", name" + direction;
  } else {
    sql += " AND name >= ? AND name <= ?";
    parameters.insert(parameters.end(), {request.prefix, PrefixEnd(request.prefix)});
    if (after) {
      sql += " AND name" + beyond + "?";
      parameters.emplace_back(after->name);
    }
    sql += " ORDER BY name" + direction;
  }
  sql += " LIMIT ?";
  parameters.emplace_back(static_cast<int64_t>(request.limit) + 1);

  TRY(auto rows, transaction.Query(sql, std::move(parameters)));
  StreamList list;
  for (const db::Row& row : rows) {
    if (list.first.size() == request.limit) {
      const LogStream& last = list.first.back();
      list.second = request.by_last_event
                        ? EncodeToken(kStreamByEventToken, {std::to_string(last.last_event_ms.value_or(0)), last.name})
                        : EncodeToken(kStreamToken, {last.name});
      break;
    }
    list.first.push_back(ToLogStream(ReadStreamRow(row)));
  }
  return list;
}

using GroupList = std::pair<std::vector<LogGroup>, std::string>;

bool Contains(const std::vector<std::string>& list, const std::string& value) {
  return std::ranges::find(list, value) != list.end();
}

Result<GroupList> ReadGroups(db::Transaction& transaction, const ListGroupsRequest& request) {
  std::string after;
  if (!request.token.empty()) {
    TRY(auto fields, DecodeToken(kGroupToken, 1, request.token));
    after = fields[0];
  }
  GroupList list;
  std::vector<int64_t> ids;
  TRYV(transaction.ForEach(
      "SELECT id, name, created_ms, stored_bytes, kms_key_id, log_class, deletion_protected FROM log_groups "
      "WHERE name > ? AND name >= ? AND name <= ? ORDER BY name",
      {after, request.prefix, PrefixEnd(request.prefix)}, [&](const db::Row& row) {
        LogGroup group{row.Text(1), row.Int(2), row.Int(3), {row.Text(4), row.Text(5), row.Int(6) != 0, {}}};
        if (!group.name.contains(request.contains)) return true;
        if (!request.names.empty() && !Contains(request.names, group.name)) return true;
        if (!request.log_classes.empty() && !Contains(request.log_classes, group.options.log_class)) return true;
        if (list.first.size() == request.limit) {
          list.second = EncodeToken(kGroupToken, {list.first.back().name});
          return false;
        }
        ids.push_back(row.Int(0));
        list.first.push_back(std::move(group));
        return true;
      }));
  for (size_t i = 0; i < ids.size(); ++i) {
    TRY(auto tags, transaction.Query("SELECT key, value FROM log_group_tags WHERE group_id = ?", {ids[i]}));
    for (const db::Row& tag : tags) list.first[i].options.tags[tag.Text(0)] = tag.Text(1);
  }
  return list;
}

// LogStore over a db::Store. Owns the store; no state of its own, so a crash leaves what SQLite leaves: each call
// entirely there or not at all. Threads: as db::Store.
class SqliteLogStore final : public LogStore {
 public:
  SqliteLogStore(std::unique_ptr<db::Store> store, const Clock& clock) : store_(std::move(store)), clock_(clock) {}

  Result<void> CreateGroup(const std::string& group, const GroupOptions& options) override {
    return store_->Write([&](db::Transaction& transaction) -> Result<void> {
      if (FindGroup(transaction, group)) return Fail(AlreadyExists("log group"));
      TRYV(InsertGroup(transaction, group, options, clock_.NowMs()));
      return {};
    });
  }

  Result<void> CreateStream(const std::string& group, const std::string& stream) override {
    return store_->Write([&](db::Transaction& transaction) -> Result<void> {
      TRY(int64_t group_id, FindGroup(transaction, group));
      if (FindStream(transaction, group_id, stream)) return Fail(AlreadyExists("log stream"));
      return InsertStream(transaction, group_id, stream, clock_.NowMs());
    });
  }

  Result<void> Put(const std::string& group, const std::string& stream, std::vector<LogEvent> events) override {
    return store_->Write([&](db::Transaction& transaction) -> Result<void> {
      TRY(int64_t group_id, FindGroup(transaction, group));
      TRY(StreamRow row, FindStream(transaction, group_id, stream));
      int64_t offset = row.source_offset;
      return Append(transaction, group_id, std::move(row), std::move(events), offset, clock_.NowMs());
    });
  }

  Result<uint64_t> Ingest(const std::string& group, const std::string& stream, uint64_t from, uint64_t to,
                          std::vector<LogEvent> events) override {
    if (to < from || to > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return Fail(InvalidArgument("a log source's bytes [" + std::to_string(from) + ", " + std::to_string(to) +
                                  ") are no range"));
    }
    uint64_t recorded = 0;
    TRYV(store_->Write([&](db::Transaction& transaction) -> Result<void> {
      int64_t now_ms = clock_.NowMs();
      Result<int64_t> group_id = FindGroup(transaction, group);
      if (!group_id && group_id.error().kind == ErrorKind::kNotFound) {
        group_id = InsertGroup(transaction, group, {}, now_ms);
      }
      if (!group_id) return Fail(group_id.error());
      Result<StreamRow> row = FindStream(transaction, *group_id, stream);
      if (!row && row.error().kind == ErrorKind::kNotFound) {
        TRYV(InsertStream(transaction, *group_id, stream, now_ms));
        row = FindStream(transaction, *group_id, stream);
      }
      if (!row) return Fail(row.error());
      recorded = static_cast<uint64_t>(row->source_offset);
      if (recorded != from) return {};
      recorded = to;
      return Append(transaction, *group_id, *std::move(row), std::move(events), static_cast<int64_t>(to), now_ms);
    }));
    return recorded;
  }

  Result<uint64_t> IngestedOffset(const std::string& group, const std::string& stream) override {
    uint64_t offset = 0;
    TRYV(store_->Read([&](db::Transaction& transaction) -> Result<void> {
      TRY(auto rows, transaction.Query("SELECT source_offset FROM log_streams JOIN log_groups ON group_id = "
                                       "log_groups.id WHERE log_groups.name = ? AND log_streams.name = ?",
                                       {group, stream}));
      if (!rows.empty()) offset = static_cast<uint64_t>(rows[0].Int(0));
      return {};
    }));
    return offset;
  }

  Result<Page> Get(const GetRequest& request) override { return Reading<Page>(ReadPage, request); }
  Result<FilterPage> Filter(const FilterRequest& request) override { return Reading<FilterPage>(RunFilter, request); }
  Result<GroupList> ListGroups(const ListGroupsRequest& request) override {
    return Reading<GroupList>(ReadGroups, request);
  }
  Result<StreamList> ListStreams(const ListStreamsRequest& request) override {
    return Reading<StreamList>(ReadStreams, request);
  }

 private:
  template <class T, class Request>
  Result<T> Reading(Result<T> (*read)(db::Transaction&, const Request&), const Request& request) {
    T value;
    TRYV(store_->Read([&](db::Transaction& transaction) -> Result<void> {
      TRY(value, read(transaction, request));
      return {};
    }));
    return value;
  }

  std::unique_ptr<db::Store> store_;
  const Clock& clock_;
};

}  // namespace

Result<std::unique_ptr<LogStore>> LogStore::Open(const std::filesystem::path& directory, const Clock& clock) {
  TRYV(io::MakeDirectories(directory, 0700));
  TRY(std::unique_ptr<db::Store> store, db::OpenSqlite((directory / "logs.db").string(), LogMigrations()));
  return std::make_unique<SqliteLogStore>(std::move(store), clock);
}

}  // namespace sagebrush::logstore
