#include "logstore/filter_query.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <queue>
#include <set>

#include "base/text.h"
#include "logstore/filter_pattern.h"
#include "logstore/page_token.h"
#include "logstore/tables.h"

namespace sagebrush::logstore {
namespace {

constexpr size_t kChunkEvents = 256;
constexpr size_t kChunkBytes = size_t{64} * 1024;
constexpr std::string_view kAscendingToken = "fa", kDescendingToken = "fd";

// Where the last page ended: this event was the last one looked at.
struct Resume {
  int64_t time_ms = 0, sequence = 0;
  std::string stream;
};

struct Window {
  int64_t start_ms = std::numeric_limits<int64_t>::min();
  int64_t end_ms = std::numeric_limits<int64_t>::max();  // exclusive
  bool descending = false;
  std::optional<Resume> resume;
};

Result<Window> MakeWindow(const FilterRequest& request) {
  Window window;
  window.start_ms = request.start_ms.value_or(window.start_ms);
  window.end_ms = request.end_ms.value_or(window.end_ms);
  window.descending = request.descending;
  if (request.token.empty()) return window;
  Result<std::vector<std::string>> fields = DecodeToken(kAscendingToken, 3, request.token);
  window.descending = !fields;
  if (!fields) fields = DecodeToken(kDescendingToken, 3, request.token);
  if (!fields) return Fail(fields.error());
  std::optional<int64_t> time = ParseInt((*fields)[0]), sequence = ParseInt((*fields)[1]);
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  if (!time || !sequence || *time == kMost || *sequence == kMost) return Fail(InvalidToken());
  window.resume = Resume{*time, *sequence, (*fields)[2]};
  return window;
}

// Reads one stream's part of the window in the window's direction, a chunk at a time.
class Cursor {
 public:
  explicit Cursor(StreamRow stream) : stream_(std::move(stream)) {}

  const std::string& name() const { return stream_.name; }
  bool opened() const { return opened_; }
  const LogEvent& Front() const { return chunk_[at_]; }

  // No event of this stream that is still to come lies before (descending: after) this time.
  int64_t Bound(const Window& window) const {
    if (opened_) return Front().timestamp_ms;
    if (window.descending) {
      int64_t bound = std::min(stream_.last_event_ms, window.end_ms);
      return window.resume ? std::min(bound, window.resume->time_ms) : bound;
    }
    int64_t bound = std::max(stream_.first_event_ms, window.start_ms);
    return window.resume ? std::max(bound, window.resume->time_ms) : bound;
  }

  // False when nothing of the stream is in the window.
  Result<bool> Open(db::Transaction& transaction, const Window& window) {
    opened_ = true;
    TRY(low_, LowerBound(transaction, stream_, window.start_ms));
    TRY(high_, LowerBound(transaction, stream_, window.end_ms));
    if (window.resume) TRYV(SkipSeen(transaction, window));
    return Refill(transaction, window);
  }

  // False at the end.
  Result<bool> Advance(db::Transaction& transaction, const Window& window) {
    if (++at_ < chunk_.size()) return true;
    return Refill(transaction, window);
  }

 private:
  Result<void> SkipSeen(db::Transaction& transaction, const Window& window) {
    const Resume& resume = *window.resume;
    int order = stream_.name.compare(resume.stream);
    // Among events of the resume time, streams before (descending: after) the resume stream have been seen.
    bool seen_at_that_time = window.descending ? order > 0 : order < 0;
    int64_t at = 0;
    if (order == 0) {
      at = window.descending ? resume.sequence : resume.sequence + 1;
    } else {
      bool past_that_time = window.descending ? !seen_at_that_time : seen_at_that_time;
      TRY(at, LowerBound(transaction, stream_, resume.time_ms + (past_that_time ? 1 : 0)));
    }
    if (window.descending) {
      high_ = std::min(high_, at);
    } else {
      low_ = std::max(low_, at);
    }
    return {};
  }

  Result<bool> Refill(db::Transaction& transaction, const Window& window) {
    chunk_.clear();
    at_ = 0;
    size_t bytes = 0;
    TRYV(ForEachEvent(transaction, stream_, low_, high_, window.descending, [&](LogEvent event) {
      bytes += EventBytes(event);
      event.stream = stream_.name;
      chunk_.push_back(std::move(event));
      return chunk_.size() < kChunkEvents && bytes < kChunkBytes;
    }));
    if (chunk_.empty()) return false;
    if (window.descending) {
      high_ = chunk_.back().sequence;
    } else {
      low_ = chunk_.back().sequence + 1;
    }
    return true;
  }

  StreamRow stream_;
  bool opened_ = false;
  int64_t low_ = 0, high_ = 0;  // positions not yet read
  std::vector<LogEvent> chunk_;
  size_t at_ = 0;
};

// The streams that may have events in the window.
Result<std::vector<Cursor>> Candidates(db::Transaction& transaction, const FilterRequest& request,
                                       const Window& window) {
  TRY(int64_t group_id, FindGroup(transaction, request.group));
  std::vector<Cursor> cursors;
  auto consider = [&](StreamRow stream) {
    if (stream.events == 0 || stream.last_event_ms < window.start_ms || stream.first_event_ms >= window.end_ms) return;
    cursors.emplace_back(std::move(stream));
  };
  if (!request.streams.empty()) {
    for (const std::string& name : std::set<std::string>(request.streams.begin(), request.streams.end())) {
      TRY(StreamRow stream, FindStream(transaction, group_id, name));
      if (stream.name.starts_with(request.stream_prefix)) consider(std::move(stream));
    }
    return cursors;
  }
  static const std::string sql = "SELECT " + std::string(kStreamColumns) +
                                 " FROM log_streams WHERE group_id = ? AND name >= ? AND name <= ? ORDER BY name";
  TRYV(transaction.ForEach(sql, {group_id, request.stream_prefix, PrefixEnd(request.stream_prefix)},
                           [&](const db::Row& row) {
                             consider(ReadStreamRow(row));
                             return true;
                           }));
  return cursors;
}

// Orders the heap so that its top is the cursor to look at next. At one time an unopened stream comes first, for its
// first event may be the next one.
struct ComesLater {
  const Window* window;
  bool operator()(const Cursor* a, const Cursor* b) const {
    int64_t a_time = a->Bound(*window), b_time = b->Bound(*window);
    if (a_time != b_time) return window->descending ? a_time < b_time : a_time > b_time;
    if (a->opened() != b->opened()) return a->opened();
    return window->descending ? a->name() < b->name() : a->name() > b->name();
  }
};

std::string TokenAfter(const LogEvent& event, bool descending) {
  return EncodeToken(descending ? kDescendingToken : kAscendingToken,
                     {std::to_string(event.timestamp_ms), std::to_string(event.sequence), event.stream});
}

}  // namespace

Result<FilterPage> RunFilter(db::Transaction& transaction, const FilterRequest& request) {
  TRY(FilterPattern pattern, FilterPattern::Parse(request.pattern));
  TRY(Window window, MakeWindow(request));
  TRY(std::vector<Cursor> cursors, Candidates(transaction, request, window));
  std::priority_queue<Cursor*, std::vector<Cursor*>, ComesLater> heap(ComesLater{&window});
  for (Cursor& cursor : cursors) heap.push(&cursor);

  FilterPage page;
  size_t bytes = 0, scanned = 0;
  std::string token = request.token;
  while (!heap.empty()) {
    Cursor* cursor = heap.top();
    heap.pop();
    bool more = true;
    if (!cursor->opened()) {
      TRY(more, cursor->Open(transaction, window));
    } else {
      const LogEvent& event = cursor->Front();
      bool matches = pattern.Matches(event.message);
      bool full = page.events.size() >= request.limit || scanned >= kMostScannedEvents ||
                  (matches && !page.events.empty() && bytes + EventBytes(event) > kPageBytes);
      if (full) {
        page.token = std::move(token);
        return page;
      }
      ++scanned;
      token = TokenAfter(event, window.descending);
      if (matches) {
        bytes += EventBytes(event);
        page.events.push_back(event);
      }
      TRY(more, cursor->Advance(transaction, window));
    }
    if (more) heap.push(cursor);
  }
  return page;
}

}  // namespace sagebrush::logstore
