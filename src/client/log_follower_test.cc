#include "client/log_follower.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "client/endpoints.h"
#include "client/testing/fake_engine.h"
#include "client/training_jobs.h"

namespace sagebrush::client {
namespace {

using ::testing::ElementsAre;
using testing::FakeEngine;
using ::testing::IsEmpty;

std::vector<std::string> PollLines(LogFollower& follower) {
  std::vector<std::string> lines;
  auto polled = follower.Poll([&](const LogLine& line) { lines.push_back(line.host + ":" + line.text); });
  EXPECT_TRUE(polled) << polled.error().message;
  return lines;
}

TEST(HostOfStream, LeavesTheStreamNumberOut) {
  EXPECT_EQ(HostOfStream("my-job/algo-1-1700000000"), "algo-1");
  EXPECT_EQ(HostOfStream("my-job/algo-12-1700000000"), "algo-12");
  EXPECT_EQ(HostOfStream("my-job/algo-3"), "algo-3");
  EXPECT_EQ(HostOfStream("my-job/other"), "other");
}

TEST(LogFollower, AJobThatHasNotPrintedHasNoLines) {
  FakeEngine engine;
  engine.AddJob("a");
  LogFollower follower(engine, TrainingJobLog("a"), 1, {});
  EXPECT_THAT(PollLines(follower), IsEmpty());
}

TEST(LogFollower, MergesHostsInTimeOrderOverPages) {
  FakeEngine engine;
  for (int i = 0; i < 5; ++i) {
    engine.Print("a", "algo-1", 10 * i, "x" + std::to_string(i));
    engine.Print("a", "algo-2", 10 * i + (i % 2 == 0 ? 5 : -5), "y" + std::to_string(i));
  }
  LogFollower follower(engine, TrainingJobLog("a"), 2, {});
  EXPECT_THAT(PollLines(follower), ElementsAre("algo-1:x0", "algo-2:y0", "algo-2:y1", "algo-1:x1", "algo-1:x2",
                                               "algo-2:y2", "algo-2:y3", "algo-1:x3", "algo-1:x4", "algo-2:y4"));
}

TEST(LogFollower, HostsAreInNumericOrderWhereTimesAreEqual) {
  FakeEngine engine;
  for (const char* host : {"algo-10", "algo-2", "algo-1"}) engine.Print("a", host, 7, "z");
  LogFollower follower(engine, TrainingJobLog("a"), 3, {});
  EXPECT_THAT(PollLines(follower), ElementsAre("algo-1:z", "algo-2:z", "algo-10:z"));
}

TEST(LogFollower, GoesOnWhereItWasAndTakesInHostsThatComeLater) {
  FakeEngine engine;
  engine.Print("a", "algo-1", 1, "one");
  LogFollower follower(engine, TrainingJobLog("a"), 2, {});
  EXPECT_THAT(PollLines(follower), ElementsAre("algo-1:one"));
  EXPECT_THAT(PollLines(follower), IsEmpty());
  engine.Print("a", "algo-2", 2, "late");
  engine.Print("a", "algo-1", 3, "two");
  EXPECT_THAT(PollLines(follower), ElementsAre("algo-2:late", "algo-1:two"));
}

TEST(LogFollower, AsksForTheStreamsOnlyUntilAllAreKnown) {
  FakeEngine engine;
  engine.Print("a", "algo-1", 1, "one");
  LogFollower follower(engine, TrainingJobLog("a"), 1, {});
  PollLines(follower);
  PollLines(follower);
  PollLines(follower);
  EXPECT_EQ(engine.calls["DescribeLogStreams"], 1);
}

TEST(LogFollower, AnEndpointsInstancesComeAtAnyTime) {
  FakeEngine engine;
  engine.PrintOfInstance("digits", "i-01", 1, "one");
  LogFollower follower(engine, EndpointLog("digits"), std::nullopt, {});
  EXPECT_THAT(PollLines(follower), ElementsAre("i-01:one"));
  engine.PrintOfInstance("digits", "i-02", 2, "its successor");
  engine.PrintOfInstance("other", "i-03", 2, "not its own");
  EXPECT_THAT(PollLines(follower), ElementsAre("i-02:its successor"));
}

TEST(LogFollower, AnOutageLosesAndRepeatsNothing) {
  FakeEngine engine;
  for (int i = 0; i < 3; ++i) engine.Print("a", "algo-1", i, std::to_string(i));
  LogFollower follower(engine, TrainingJobLog("a"), 1, {});
  std::vector<std::string> lines;
  auto cut = follower.Poll([&](const LogLine& line) {
    lines.push_back(line.text);
    engine.Down();
  });
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().kind, ErrorKind::kUnavailable);
  engine.Up();
  ASSERT_TRUE(follower.Poll([&](const LogLine& line) { lines.push_back(line.text); }));
  EXPECT_THAT(lines, ElementsAre("0", "1", "2"));
}

TEST(LogFollower, SelectsByTimeAndHost) {
  FakeEngine engine;
  engine.page_size = 10;
  engine.Print("a", "algo-1", 1, "old");
  engine.Print("a", "algo-1", 5, "new");
  engine.Print("a", "algo-2", 6, "other");
  LogFollower follower(engine, TrainingJobLog("a"), 2, {.since_ms = 5, .host = "algo-1"});
  EXPECT_THAT(PollLines(follower), ElementsAre("algo-1:new"));
}

TEST(LogFollower, EveryLineComesOnceAndInOrderHoweverItArrives) {
  EXPECT_TRUE(rc::check([] {
    FakeEngine engine;
    engine.page_size = *rc::gen::inRange<size_t>(1, 5);
    int hosts = *rc::gen::inRange(1, 4);
    LogFollower follower(engine, TrainingJobLog("a"), hosts, {});
    std::vector<int> printed(static_cast<size_t>(hosts)), seen(static_cast<size_t>(hosts));
    int64_t clock = 0;
    for (int round = *rc::gen::inRange(1, 6); round > 0; --round) {
      for (int lines = *rc::gen::inRange(0, 12); lines > 0; --lines) {
        auto host = *rc::gen::inRange<size_t>(0, printed.size());
        clock += *rc::gen::inRange(0, 2);
        engine.Print("a", "algo-" + std::to_string(host + 1), clock, std::to_string(printed[host]++));
      }
      int64_t last = -1;
      RC_ASSERT(follower.Poll([&](const LogLine& line) {
        auto host = static_cast<size_t>(line.host.back() - '1');
        RC_ASSERT(line.text == std::to_string(seen[host]++));
        RC_ASSERT(line.timestamp_ms >= last);
        last = line.timestamp_ms;
      }));
    }
    RC_ASSERT(seen == printed);
  }));
}

}  // namespace
}  // namespace sagebrush::client
