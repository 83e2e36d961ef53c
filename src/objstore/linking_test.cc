#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "objstore/store_test_util.h"

namespace sagebrush::objstore {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class LinkingTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(store().CreateBucket("bucket").has_value()); }
  ObjectStore& store() { return directory_.store(); }
  void Put(const std::vector<std::string>& keys) {
    for (const std::string& key : keys) {
      ASSERT_TRUE(PutString(store(), "bucket", key, key.ends_with('/') ? "" : "content of " + key).has_value());
    }
  }
  // Links the prefix into a new directory; its files and empty directories, sorted.
  std::vector<std::string> Link(const std::string& prefix, Shard shard = {}) {
    fs::path target = directory_.path() / ("target" + std::to_string(++targets_));
    fs::create_directory(target);
    result_ = store().LinkPrefix("bucket", prefix, target, shard);
    if (!result_) return {"error: " + result_.error().message};
    std::vector<std::string> found;
    for (const auto& entry : fs::recursive_directory_iterator(target)) {
      std::string path = fs::relative(entry.path(), target).string();
      if (entry.is_regular_file()) found.push_back(path);
      if (entry.is_directory() && fs::is_empty(entry.path())) found.push_back(path + "/");
    }
    std::ranges::sort(found);
    return found;
  }

  StoreDirectory directory_;
  Result<LinkedPrefix> result_;
  int targets_ = 0;
};

TEST_F(LinkingTest, ADirectoryPrefixIsTakenOff) {
  Put({"data/train/", "data/train/a.csv", "data/train/deep/b.csv", "data/train/empty/", "data/val/c.csv"});
  EXPECT_THAT(Link("data/train"), ElementsAre("a.csv", "deep/b.csv", "empty/"));
  EXPECT_EQ(result_->files, 2u);
  EXPECT_EQ(result_->bytes, std::string("content of data/train/a.csvcontent of data/train/deep/b.csv").size());
  EXPECT_THAT(Link("data/train/"), ElementsAre("a.csv", "deep/b.csv", "empty/"));
  EXPECT_THAT(Link(""),
              ElementsAre("data/train/a.csv", "data/train/deep/b.csv", "data/train/empty/", "data/val/c.csv"));
  EXPECT_THAT(Link("nothing"), IsEmpty());
}

TEST_F(LinkingTest, KeysThatOnlyBeginAlikeKeepTheirNames) {
  Put({"in/data.csv", "in/data/x", "in/database/y"});
  EXPECT_THAT(Link("in/data"), ElementsAre("data.csv", "database/y", "x"));
}

TEST_F(LinkingTest, AnExactKeyIsLinkedAlone) {
  Put({"in/train.csv", "in/train.csv.bak"});
  EXPECT_THAT(Link("in/train.csv"), ElementsAre("train.csv"));
}

TEST_F(LinkingTest, ShardsDealTheObjects) {
  Put({"p/a", "p/b", "p/c", "p/d", "p/e"});
  EXPECT_THAT(Link("p/", {0, 2}), ElementsAre("a", "c", "e"));
  EXPECT_THAT(Link("p/", {1, 2}), ElementsAre("b", "d"));
  EXPECT_THAT(Link("p/", {7, 8}), IsEmpty());
}

TEST_F(LinkingTest, DangerousAndCollidingKeysAreRefusedByName) {
  Put({"up/../x", "abs//etc/passwd", "dot/./x", "both/a", "both/a/b", "twice/data/database/x", "twice/database/x"});
  EXPECT_THAT(Link("up"), ElementsAre(HasSubstr("'up/../x'")));
  EXPECT_THAT(Link("abs/"), ElementsAre(HasSubstr("'abs//etc/passwd'")));
  EXPECT_THAT(Link("dot"), ElementsAre(HasSubstr("'dot/./x'")));
  EXPECT_THAT(Link("both"), ElementsAre(HasSubstr("'both/a/b'")));
  EXPECT_THAT(Link("twice/data"), ElementsAre(HasSubstr("'twice/database/x'")));
  ASSERT_TRUE(PutString(store(), "bucket", "long/" + std::string(256, 'n'), "").has_value());
  EXPECT_THAT(Link("long"), ElementsAre(HasSubstr("longer than 255 bytes")));
}

TEST_F(LinkingTest, SmallAndLargeContentsAreRightAndTheStoreKeepsThem) {
  std::string large(200'000, 'x');
  ASSERT_TRUE(PutString(store(), "bucket", "p/large", large).has_value());
  Put({"p/small"});
  EXPECT_THAT(Link("p"), ElementsAre("large", "small"));
  EXPECT_EQ(*io::ReadFile(directory_.path() / "target1/large"), large);
  EXPECT_EQ(*io::ReadFile(directory_.path() / "target1/small"), "content of p/small");
  ASSERT_TRUE(store().Delete("bucket", "p/large").has_value());
  ASSERT_TRUE(store().Delete("bucket", "p/small").has_value());
  EXPECT_EQ(directory_.CountFiles("blobs") + directory_.CountFiles("inline"), 0u);
  EXPECT_EQ(*io::ReadFile(directory_.path() / "target1/large"), large) << "a link outlives the object";
}

TEST_F(LinkingTest, LinkToRefusesWhatItCannotDo) {
  Put({"k"});
  EXPECT_EQ(CodeOf(store().LinkTo("bucket", "absent", directory_.path() / "x")), "NoSuchKey");
  EXPECT_FALSE(store().LinkTo("bucket", "k", directory_.path() / "no/such/dir").has_value());
  ASSERT_TRUE(store().LinkTo("bucket", "k", directory_.path() / "x").has_value());
  auto again = store().LinkTo("bucket", "k", directory_.path() / "x");
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().kind, ErrorKind::kAlreadyExists);
}

}  // namespace
}  // namespace sagebrush::objstore
