#include "base/clock.h"

#include <gtest/gtest.h>

namespace sagebrush {
namespace {

TEST(ClockTest, Formats) {
  EXPECT_EQ(FormatIso8601(0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(FormatIso8601(1'769'862'896'789), "2026-01-31T12:34:56.789Z");
  EXPECT_EQ(FormatIso8601Basic(1'440'938'160'000), "20150830T123600Z");         // the date of the SigV4 test suite
  EXPECT_EQ(FormatHttpDate(784'111'777'000), "Sun, 06 Nov 1994 08:49:37 GMT");  // RFC 9110's example
  EXPECT_EQ(FormatIso8601(951'782'400'000), "2000-02-29T00:00:00.000Z");
}

TEST(ClockTest, ManualClockMovesOnlyWhenTold) {
  ManualClock clock(5);
  EXPECT_EQ(clock.NowMs(), 5);
  clock.Advance(7);
  EXPECT_EQ(clock.NowMs(), 12);
}

TEST(ClockTest, TheSystemClockIsTheWallClock) {
  int64_t before = WallClockMs();
  int64_t now = SystemClock().NowMs();
  EXPECT_LE(before, now);
  EXPECT_LE(now, WallClockMs());
  int64_t monotonic = MonotonicMs();
  EXPECT_LE(monotonic, MonotonicMs());
}

TEST(ClockTest, ReadsIso8601) {
  EXPECT_EQ(ParseIso8601("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(ParseIso8601("2026-01-31T12:34:56.789Z"), 1'769'862'896'789);
  EXPECT_EQ(FormatIso8601(*ParseIso8601("2024-02-29T23:59:59.1Z")), "2024-02-29T23:59:59.100Z");
  for (const char* text : {"", "2026-01-31", "2026-02-30T00:00:00Z", "2026-01-31T12:34:56", "2026-01-31T12:34:56.Z",
                           "2026-01-31 12:34:56Z", "2026-01-31T24:00:00Z", "2026-01-31T12:34:56.1xZ"}) {
    EXPECT_EQ(ParseIso8601(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace sagebrush
