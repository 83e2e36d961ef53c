#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "base/random.h"
#include "io/file.h"
#include "logstore/filter_pattern.h"
#include "logstore/filter_query.h"
#include "logstore/log_store.h"

namespace sagebrush::logstore {
namespace {

// A store in a directory of its own; groups and streams are named per case, so one store serves many cases.
class Fixture {
 public:
  Fixture() : directory_(std::filesystem::temp_directory_path() / ("logprop-" + RandomHex(8))) { Reopen(); }
  ~Fixture() {
    store_.reset();
    static_cast<void>(io::RemoveTree(directory_));
  }
  void Reopen() {
    store_.reset();
    store_ = std::move(LogStore::Open(directory_, clock_)).value();
  }
  LogStore& operator*() { return *store_; }
  LogStore* operator->() { return store_.get(); }

 private:
  std::filesystem::path directory_;
  ManualClock clock_{77};
  std::unique_ptr<LogStore> store_;
};

// Times that often repeat and sometimes go back.
std::vector<LogEvent> ArbitraryEvents(const std::string& tag) {
  static constexpr const char* kWords[] = {"loss", "epoch", "ERROR", "warn", ""};
  auto seeds = *rc::gen::container<std::vector<std::pair<int, int>>>(
      rc::gen::pair(rc::gen::inRange(1, 30), rc::gen::inRange(0, 25)));
  std::vector<LogEvent> events;
  for (const auto& [time_ms, word] : seeds) {
    std::string message = tag + std::to_string(events.size()) + " " + kWords[word % 5] + " " + kWords[word / 5];
    events.push_back({time_ms, message, 0, 0, {}});
  }
  return events;
}

// What the store is to hold: timestamps raised to the last.
void AppendToModel(std::vector<LogEvent>& model, std::vector<LogEvent> events) {
  for (LogEvent& event : events) {
    if (!model.empty()) event.timestamp_ms = std::max(event.timestamp_ms, model.back().timestamp_ms);
    event.sequence = static_cast<int64_t>(model.size());
    model.push_back(std::move(event));
  }
}

using Key = std::tuple<int64_t, std::string, int64_t, std::string>;
std::vector<Key> Keys(const std::vector<LogEvent>& events) {
  std::vector<Key> keys;
  for (const LogEvent& event : events)
    keys.emplace_back(event.timestamp_ms, event.stream, event.sequence, event.message);
  return keys;
}

size_t ArbitraryLimit() { return *rc::gen::element<size_t>(1, 2, 3, 7, 10'000); }

TEST(LogStoreProperty, PagingFromEitherEndYieldsEveryEventOnceAndEndsWithAnEmptyPage) {
  Fixture store;
  ASSERT_TRUE(store->CreateGroup("g"));
  EXPECT_TRUE(rc::check([&] {
    std::string stream = RandomHex(8);
    RC_ASSERT(store->CreateStream("g", stream).has_value());
    std::vector<LogEvent> model;
    AppendToModel(model, ArbitraryEvents("a"));
    RC_ASSERT(store->Put("g", stream, model).has_value());
    std::optional<int64_t> start, end;
    if (*rc::gen::arbitrary<bool>()) start = *rc::gen::inRange<int64_t>(0, 32);
    if (*rc::gen::arbitrary<bool>()) end = *rc::gen::inRange<int64_t>(0, 32);
    std::vector<LogEvent> expected;
    std::ranges::copy_if(model, std::back_inserter(expected), [&](const LogEvent& event) {
      return event.timestamp_ms >= start.value_or(0) && event.timestamp_ms < end.value_or(1000);
    });

    bool from_head = *rc::gen::arbitrary<bool>();
    GetRequest request{"g", stream, start, end, ArbitraryLimit(), from_head, {}, {}};
    std::vector<LogEvent> seen;
    while (true) {
      RC_ASSERT(seen.size() <= expected.size());
      Page page = store->Get(request).value();
      RC_ASSERT(page.events.size() <= request.limit);
      seen.insert(from_head ? seen.end() : seen.begin(), page.events.begin(), page.events.end());
      request.limit = ArbitraryLimit();
      if (from_head) {
        if (page.events.empty() && request.forward_from) RC_ASSERT(page.next == *request.forward_from);
        request.forward_from = page.next;
      } else {
        if (page.events.empty() && request.backward_from) RC_ASSERT(page.first == *request.backward_from);
        request.backward_from = page.first;
      }
      if (page.events.empty()) break;
    }
    RC_ASSERT(Keys(seen) == Keys(expected));
  }));
}

TEST(LogStoreProperty, AForwardTokenStaysValidForEventsThatComeLater) {
  Fixture store;
  ASSERT_TRUE(store->CreateGroup("g"));
  EXPECT_TRUE(rc::check([&] {
    std::string stream = RandomHex(8);
    RC_ASSERT(store->CreateStream("g", stream).has_value());
    std::vector<LogEvent> model, seen;
    GetRequest request{"g", stream, {}, {}, 10'000, *rc::gen::arbitrary<bool>(), {}, {}};
    int rounds = *rc::gen::inRange(1, 6);
    for (int round = 0; round < rounds; ++round) {
      std::vector<LogEvent> events = ArbitraryEvents(std::to_string(round) + "/");
      RC_ASSERT(store->Put("g", stream, events).has_value());
      AppendToModel(model, std::move(events));
      int pages = *rc::gen::inRange(0, 4);
      if (round + 1 == rounds) pages = 1 << 20;  // the last round reads to the end
      for (int i = 0; i < pages; ++i) {
        // A first page from the tail starts at the tail: only whole first pages can see everything.
        request.limit = request.forward_from ? ArbitraryLimit() : 10'000;
        Page page = store->Get(request).value();
        seen.insert(seen.end(), page.events.begin(), page.events.end());
        request.forward_from = page.next;
        if (page.events.empty()) break;
      }
    }
    RC_ASSERT(Keys(seen) == Keys(model));
  }));
}

// A source of numbered lines, sent by a sender that forgets where it was, repeats itself and starts anywhere; only
// the recorded offset tells it where to go on. The store is closed and opened in between.
TEST(LogStoreProperty, IngestTakesEachLineOnceWhateverIsSentAgain) {
  Fixture store;
  EXPECT_TRUE(rc::check([&] {
    std::string stream = RandomHex(8);
    std::vector<std::string> lines;
    std::vector<uint64_t> ends{0};  // ends[i]: offset of line i
    for (int length : *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 12))) {
      lines.push_back(std::to_string(lines.size()) + std::string(static_cast<size_t>(length), '.'));
      ends.push_back(ends.back() + lines.back().size() + 1);
    }
    auto send = [&](size_t first, size_t last) {
      std::vector<LogEvent> events;
      for (size_t i = first; i < last; ++i) events.push_back({5, lines[i], 0, 0, {}});
      return store->Ingest("g", stream, ends[first], ends[last], std::move(events)).value();
    };
    int sends = *rc::gen::inRange(0, 15);
    for (int i = 0; i < sends; ++i) {
      size_t first = *rc::gen::inRange<size_t>(0, lines.size() + 1);
      size_t last = *rc::gen::inRange<size_t>(first, lines.size() + 1);
      uint64_t before = store->IngestedOffset("g", stream).value();
      uint64_t after = send(first, last);
      RC_ASSERT(after == (before == ends[first] ? ends[last] : before));
      RC_ASSERT(store->IngestedOffset("g", stream).value() == after);
      if (*rc::gen::inRange(0, 8) == 0) store.Reopen();
    }
    size_t at = 0;
    while (ends[at] != store->IngestedOffset("g", stream).value_or(0)) ++at;
    send(at, lines.size());
    if (lines.empty()) return;
    std::vector<std::string> kept;
    for (const LogEvent& event : store->Get({"g", stream}).value().events) kept.push_back(event.message);
    RC_ASSERT(kept == lines);
  }));
}

TEST(LogStoreProperty, FilterEqualsAModel) {
  Fixture store;
  static constexpr const char* kPatterns[] = {"", "loss", "loss -ERROR", "?warn ?ERROR", "\"epoch loss\"", "absent"};
  EXPECT_TRUE(rc::check([&] {
    std::string group = RandomHex(8);
    RC_ASSERT(store->CreateGroup(group).has_value());
    std::vector<LogEvent> all;
    for (const char* stream : {"a/1", "a/2", "b"}) {
      RC_ASSERT(store->CreateStream(group, stream).has_value());
      std::vector<LogEvent> model;
      AppendToModel(model, ArbitraryEvents(stream));
      for (LogEvent& event : model) event.stream = stream;
      RC_ASSERT(store->Put(group, stream, model).has_value());
      all.insert(all.end(), model.begin(), model.end());
    }
    FilterRequest request{
        .group = group,
        .pattern = *rc::gen::elementOf(std::vector<std::string>(std::begin(kPatterns), std::end(kPatterns)))};
    if (*rc::gen::arbitrary<bool>()) request.start_ms = *rc::gen::inRange<int64_t>(0, 32);
    if (*rc::gen::arbitrary<bool>()) request.end_ms = *rc::gen::inRange<int64_t>(0, 32);
    if (*rc::gen::arbitrary<bool>()) request.stream_prefix = "a/";
    if (*rc::gen::arbitrary<bool>()) request.streams = {"b", "a/2", "b"};
    request.descending = *rc::gen::arbitrary<bool>();
    bool descending = request.descending;

    FilterPattern pattern = FilterPattern::Parse(request.pattern).value();
    std::vector<Key> expected;
    for (const LogEvent& event : all) {
      bool wanted =
          event.timestamp_ms >= request.start_ms.value_or(0) && event.timestamp_ms < request.end_ms.value_or(1000) &&
          event.stream.starts_with(request.stream_prefix) && pattern.Matches(event.message) &&
          (request.streams.empty() || std::ranges::find(request.streams, event.stream) != request.streams.end());
      if (wanted) expected.push_back(Keys({event})[0]);
    }
    std::ranges::sort(expected);
    if (descending) std::ranges::reverse(expected);

    std::vector<LogEvent> seen;
    do {
      request.limit = ArbitraryLimit();
      FilterPage page = store->Filter(request).value();
      RC_ASSERT(page.events.size() <= request.limit);
      RC_ASSERT(page.token.empty() || page.token != request.token);
      seen.insert(seen.end(), page.events.begin(), page.events.end());
      request.token = page.token;
      request.descending = *rc::gen::arbitrary<bool>();  // the token knows the direction
    } while (!request.token.empty());
    RC_ASSERT(Keys(seen) == expected);
  }));
}

TEST(FilterTest, APageThatFindsNothingInManyEventsEndsWithATokenThatGoesOn) {
  Fixture store;
  std::vector<LogEvent> events(kMostScannedEvents + 10, LogEvent{1, "hay", 0, 0, {}});
  events.back().message = "needle";
  ASSERT_TRUE(store->Ingest("g", "s", 0, 1, std::move(events)));
  FilterRequest request{.group = "g", .pattern = "needle"};
  FilterPage first = store->Filter(request).value();
  EXPECT_TRUE(first.events.empty());
  ASSERT_NE(first.token, "");
  request.token = first.token;
  FilterPage second = store->Filter(request).value();
  ASSERT_EQ(second.events.size(), 1u);
  EXPECT_EQ(second.events[0].sequence, static_cast<int64_t>(kMostScannedEvents + 9));
  EXPECT_EQ(second.token, "");
}

TEST(FilterTest, ForeignTokensAreRefused) {
  Fixture store;
  ASSERT_TRUE(store->CreateGroup("g"));
  for (const char* token : {"x", "Zm9v", "ZmEKMQ==", "ZmEKeAoxCnM="}) {
    auto page = store->Filter({.group = "g", .token = token});
    ASSERT_FALSE(page) << token;
    EXPECT_EQ(page.error().code, "InvalidParameterException");
  }
}

}  // namespace
}  // namespace sagebrush::logstore
