#include "base/ids.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <type_traits>
#include <unordered_set>

#include "base/error.h"
#include "base/random.h"
#include "base/result.h"

namespace sagebrush {
namespace {

TEST(IdsTest, KindsDoNotMixAndStringsDoNotSlipIn) {
  static_assert(!std::is_convertible_v<std::string, JobName>);
  static_assert(!std::is_convertible_v<JobName, InstanceId>);
  static_assert(!std::is_constructible_v<InstanceId, JobName>);
  EXPECT_TRUE(JobName().empty());
  EXPECT_LT(JobName("a"), JobName("b"));
  EXPECT_LT(Epoch{1}, Epoch{2});
  std::unordered_set<JobName> names{JobName("a"), JobName("a"), JobName("b")};
  EXPECT_EQ(names.size(), 2u);
}

TEST(RandomTest, UuidsHaveVersion4AndDiffer) {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    std::string uuid = RandomUuid();
    EXPECT_THAT(uuid, testing::MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
    seen.insert(uuid);
  }
  EXPECT_EQ(seen.size(), 100u);
  EXPECT_EQ(RandomBytes(33).size(), 33u);
  EXPECT_THAT(RandomHex(8), testing::MatchesRegex("[0-9a-f]{16}"));
}

Result<int> Half(int value) {
  if (value % 2 != 0) return Fail(InvalidArgument("odd"));
  return value / 2;
}
Result<int> Quarter(int value) {
  TRY(int half, Half(value));
  if (half > 100) {
    TRYV(Half(1));
  }
  return Half(half);
}

TEST(ResultTest, TryReturnsTheErrorOfTheFirstThatFails) {
  EXPECT_EQ(Quarter(8), 2);
  EXPECT_EQ(Quarter(6).error().message, "odd");
  EXPECT_EQ(Quarter(400).error().kind, ErrorKind::kInvalidArgument);
}

TEST(ErrorTest, ErrnoMapsToAKindAndOnlyUnavailableIsRetryable) {
  EXPECT_EQ(FromErrno(ENOENT, "cannot open x").kind, ErrorKind::kNotFound);
  EXPECT_EQ(FromErrno(EACCES, "x").kind, ErrorKind::kPermissionDenied);
  Error full = FromErrno(ENOSPC, "cannot write");
  EXPECT_EQ(full.kind, ErrorKind::kUnavailable);
  EXPECT_TRUE(full.retryable);
  EXPECT_FALSE(Internal("x").retryable);
  EXPECT_EQ(std::move(full).Because("log store").message, "log store: cannot write: No space left on device");
  EXPECT_EQ(ToString(ErrorKind::kDataLoss), "DataLoss");
}

}  // namespace
}  // namespace sagebrush
