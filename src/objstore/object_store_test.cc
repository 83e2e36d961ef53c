#include "objstore/object_store.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <thread>

#include "base/text.h"
#include "objstore/store_test_util.h"

namespace sagebrush::objstore {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;

const std::string kLarge(300'000, 'L');

class ObjectStoreTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(store().CreateBucket("bucket").has_value()); }
  ObjectStore& store() { return directory_.store(); }

  std::string Get(const std::string& key) {
    Result<std::string> got = GetString(store(), "bucket", key);
    return got ? *got : "error " + got.error().code + " " + got.error().message;
  }
  void Put(const std::string& key, std::string_view data) {
    Result<ObjectInfo> put = PutString(store(), "bucket", key, data);
    ASSERT_TRUE(put.has_value()) << put.error().message;
  }

  StoreDirectory directory_;
};

TEST_F(ObjectStoreTest, BucketsAreMadeListedAndDeleted) {
  ASSERT_TRUE(store().CreateBucket("another").has_value());
  auto buckets = store().ListBuckets();
  ASSERT_EQ(buckets->size(), 2u);
  EXPECT_EQ((*buckets)[0].name, "another");
  EXPECT_EQ(CodeOf(store().CreateBucket("bucket")), "BucketAlreadyOwnedByYou");
  Put("k", "v");
  EXPECT_EQ(CodeOf(store().DeleteBucket("bucket")), "BucketNotEmpty");
  ASSERT_TRUE(store().Delete("bucket", "k").has_value());
  ASSERT_TRUE(store().DeleteBucket("bucket").has_value());
  EXPECT_EQ(CodeOf(store().HeadBucket("bucket")), "NoSuchBucket");
  EXPECT_EQ(CodeOf(PutString(store(), "bucket", "k", "v")), "NoSuchBucket");
}

TEST_F(ObjectStoreTest, BucketNamesFollowTheRules) {
  for (const char* good : {"abc", "a.b-c1", "sagemaker-us-west-2-000000000000", "1.2.3.4.5"}) {
    EXPECT_EQ(CodeOf(store().CreateBucket(good)), "") << good;
  }
  for (const char* bad :
       {"ab", "Abc", "a_b", "-abc", "abc.", "a..b", "192.168.1.1", "xn--abc", "abc-s3alias", "../etc", "a/b"}) {
    EXPECT_EQ(CodeOf(store().CreateBucket(bad)), "InvalidBucketName") << bad;
  }
  EXPECT_EQ(CodeOf(store().CreateBucket(std::string(64, 'a'))), "InvalidBucketName");
}

TEST_F(ObjectStoreTest, SmallAndLargeContentsSurviveAReopen) {
  PutOptions options;
  options.content_type = "text/plain";
  options.headers = {{"Cache-Control", "no-cache, 5:x"}};
  options.metadata = {{"colour", "blue"}, {"empty", ""}};
  ASSERT_TRUE(PutString(store(), "bucket", "small", "hello", options).has_value());
  Put("large", kLarge);
  Put("empty", "");
  Put("edge", std::string(ObjectStore::kInlineBytes, 'e'));
  EXPECT_EQ(directory_.CountFiles("blobs"), 1u);
  directory_.Reopen();
  EXPECT_EQ(Get("small"), "hello");
  EXPECT_EQ(Get("large"), kLarge);
  EXPECT_EQ(Get("empty"), "");
  EXPECT_EQ(Get("edge").size(), ObjectStore::kInlineBytes);
  auto info = store().Head("bucket", "small");
  EXPECT_EQ(info->etag, "5d41402abc4b2a76b9719d911017c592");
  EXPECT_EQ(info->content_type, "text/plain");
  EXPECT_EQ(info->headers, options.headers);
  EXPECT_EQ(info->metadata, options.metadata);
  EXPECT_EQ(info->modified_ms, 1'700'000'000'000);
  EXPECT_EQ(CodeOf(store().Head("bucket", "absent")), "NoSuchKey");
}

TEST_F(ObjectStoreTest, BlobFilesAreWorldReadableAndOwned) {
  Put("large", kLarge);
  ASSERT_TRUE(store().LinkTo("bucket", "large", directory_.path() / "link").has_value());
  struct stat status{};
  ASSERT_EQ(::stat((directory_.path() / "link").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0644u);
  EXPECT_EQ(status.st_nlink, 2u);
}

TEST_F(ObjectStoreTest, AnUncommittedWriterLeavesNothing) {
  {
    auto writer = store().Put("bucket", "k", {});
    ASSERT_TRUE((*writer)->Append(kLarge).has_value());
    EXPECT_EQ(directory_.CountFiles("blobs"), 1u);
  }
  EXPECT_EQ(directory_.CountFiles("blobs"), 0u);
  EXPECT_EQ(CodeOf(store().Head("bucket", "k")), "NoSuchKey");
}

TEST_F(ObjectStoreTest, OpenRemovesWhatACrashLeft) {
  Put("large", kLarge);
  Put("small", "s");
  ASSERT_TRUE(store().LinkTo("bucket", "small", directory_.path() / "link").has_value());
  for (const char* directory : {"blobs/ab", "inline/cd"}) {
    ASSERT_TRUE(io::MakeDirectories(directory_.path() / "objects" / directory).has_value());
  }
  for (const char* leftover : {"blobs/ab/abcdef0123456789", "blobs/ab/.abcdef", "inline/cd/cd00", "inline/cd/.tmp"}) {
    ASSERT_TRUE(io::WriteFile(directory_.path() / "objects" / leftover, "torn").has_value());
  }
  directory_.Reopen();
  EXPECT_EQ(directory_.CountFiles("blobs"), 1u);
  EXPECT_EQ(directory_.CountFiles("inline"), 1u);
  EXPECT_EQ(Get("large"), kLarge);
}

TEST_F(ObjectStoreTest, AfterARestartOfTheMachineTheCacheIsDropped) {
  Put("small", "right");
  ASSERT_TRUE(store().LinkTo("bucket", "small", directory_.path() / "one").has_value());
  for (const auto& entry : fs::recursive_directory_iterator(directory_.path() / "objects/inline")) {
    if (entry.is_regular_file() && entry.path().filename() != "boot_id") fs::resize_file(entry.path(), 0);
  }
  ASSERT_TRUE(io::WriteFile(directory_.path() / "objects/inline/boot_id", "another boot").has_value());
  directory_.Reopen();
  ASSERT_TRUE(store().LinkTo("bucket", "small", directory_.path() / "two").has_value());
  EXPECT_EQ(*io::ReadFile(directory_.path() / "two"), "right");
}

TEST_F(ObjectStoreTest, CopySharesTheContentUntilTheLastReferenceGoes) {
  Put("a", kLarge);
  ASSERT_TRUE(store().Copy("bucket", "a", "bucket", "b", std::nullopt).has_value());
  PutOptions replacement;
  replacement.metadata = {{"m", "1"}};
  auto replaced = store().Copy("bucket", "a", "bucket", "a", replacement);
  EXPECT_EQ(replaced->metadata, replacement.metadata);
  EXPECT_EQ(directory_.CountFiles("blobs"), 1u);
  ASSERT_TRUE(store().Delete("bucket", "a").has_value());
  EXPECT_EQ(Get("b"), kLarge);
  Put("b", "small now");
  EXPECT_EQ(directory_.CountFiles("blobs"), 0u);
  EXPECT_EQ(Get("b"), "small now");
  EXPECT_EQ(CodeOf(store().Copy("bucket", "gone", "bucket", "c", std::nullopt)), "NoSuchKey");
}

TEST_F(ObjectStoreTest, AnOpenReaderKeepsReadingAfterADelete) {
  Put("k", kLarge);
  auto content = store().Get("bucket", "k");
  ASSERT_TRUE(store().Delete("bucket", "k").has_value());
  EXPECT_EQ(directory_.CountFiles("blobs"), 0u);
  EXPECT_EQ(*io::ReadAt(content->file.get(), 0, kLarge.size()), kLarge);
}

TEST_F(ObjectStoreTest, DigestsAreVerified) {
  PutOptions options;
  options.content_md5 = Base64Encode(Md5("other"));
  EXPECT_EQ(CodeOf(PutString(store(), "bucket", "k", "data", options)), "BadDigest");
  options.content_md5 = "nonsense";
  EXPECT_EQ(CodeOf(PutString(store(), "bucket", "k", "data", options)), "InvalidDigest");
  options.content_md5 = "";
  options.checksum = {"CRC32", Base64Encode(BigEndian(Crc32("other")))};
  EXPECT_EQ(CodeOf(PutString(store(), "bucket", "k", kLarge, options)), "BadDigest");
  options.checksum = {"CRC32", "short"};
  EXPECT_EQ(CodeOf(PutString(store(), "bucket", "k", "data", options)), "InvalidRequest");
  options.checksum = {"MD4", ""};
  EXPECT_EQ(CodeOf(PutString(store(), "bucket", "k", "data", options)), "InvalidRequest");
  EXPECT_EQ(CodeOf(store().Head("bucket", "k")), "NoSuchKey");
  EXPECT_EQ(directory_.CountFiles("blobs"), 0u);
  options.checksum = {"SHA256", Base64Encode(Sha256("data"))};
  ASSERT_TRUE(PutString(store(), "bucket", "k", "data", options).has_value());
  EXPECT_EQ(store().Head("bucket", "k")->checksum, options.checksum.expected);
}

TEST_F(ObjectStoreTest, ATrailingChecksumIsVerified) {
  PutOptions options;
  options.checksum = {"CRC32C", ""};
  auto writer = store().Put("bucket", "k", options);
  ASSERT_TRUE((*writer)->Append("data").has_value());
  (*writer)->SetExpectedChecksum("CRC32C", Base64Encode(BigEndian(Crc32c("date"))));
  EXPECT_EQ(CodeOf((*writer)->Commit()), "BadDigest");
}

TEST_F(ObjectStoreTest, ConditionalWrites) {
  PutOptions once;
  once.if_none_match = "*";
  ASSERT_TRUE(PutString(store(), "bucket", "k", "1", once).has_value());
  EXPECT_EQ(CodeOf(PutString(store(), "bucket", "k", "2", once)), "PreconditionFailed");
  PutOptions swap;
  swap.if_match = "\"" + HexEncode(Md5("1")) + "\"";
  ASSERT_TRUE(PutString(store(), "bucket", "k", "2", swap).has_value());
  EXPECT_EQ(CodeOf(PutString(store(), "bucket", "k", "3", swap)), "PreconditionFailed");
  EXPECT_EQ(CodeOf(PutString(store(), "bucket", "absent", "3", swap)), "NoSuchKey");
  EXPECT_EQ(Get("k"), "2");
}

TEST_F(ObjectStoreTest, OfManyConditionalWritersOneWins) {
  std::atomic<int> won = 0;
  {
    std::vector<std::jthread> writers;
    for (int i = 0; i < 8; ++i) {
      writers.emplace_back([&] {
        PutOptions once;
        once.if_none_match = "*";
        won += PutString(store(), "bucket", "k", kLarge, once).has_value();
      });
    }
  }
  EXPECT_EQ(won, 1);
  EXPECT_EQ(directory_.CountFiles("blobs"), 1u);
}

TEST_F(ObjectStoreTest, KeysAreChecked) {
  EXPECT_EQ(CodeOf(PutString(store(), "bucket", std::string(1025, 'k'), "")), "KeyTooLongError");
  EXPECT_EQ(CodeOf(PutString(store(), "bucket", "bad\xff", "")), "InvalidURI");
  EXPECT_EQ(CodeOf(PutString(store(), "bucket", "", "")), "InvalidURI");
  Put("ключ/../with spaces &<>", "fine");
  EXPECT_EQ(Get("ключ/../with spaces &<>"), "fine");
}

TEST_F(ObjectStoreTest, ReadersAndDeletersDoNotDisturbEachOther) {
  Put("k", kLarge);
  std::atomic<bool> stop = false;
  std::jthread writer([&] {
    for (int i = 0; i < 60; ++i) static_cast<void>(PutString(store(), "bucket", "k", kLarge));
    stop = true;
  });
  while (!stop) ASSERT_EQ(Get("k"), kLarge);
}

TEST_F(ObjectStoreTest, PutFileMovesTheFile) {
  fs::path file = directory_.path() / "model.tar.gz";
  ASSERT_TRUE(io::WriteFile(file, kLarge).has_value());
  auto info = store().PutFile("bucket", "model", file, {});
  ASSERT_TRUE(info.has_value()) << info.error().message;
  EXPECT_EQ(info->etag, HexEncode(Md5(kLarge)));
  EXPECT_FALSE(fs::exists(file));
  EXPECT_EQ(Get("model"), kLarge);
  ASSERT_TRUE(io::WriteFile(file, "tiny").has_value());
  PutOptions once;
  once.if_none_match = "*";
  EXPECT_EQ(CodeOf(store().PutFile("bucket", "model", file, once)), "PreconditionFailed");
  EXPECT_TRUE(fs::exists(file));
  ASSERT_TRUE(store().PutFile("bucket", "tiny", file, once).has_value());
  EXPECT_EQ(Get("tiny"), "tiny");
  EXPECT_FALSE(fs::exists(file));
}

TEST_F(ObjectStoreTest, PutFileCopiesAFileWithOtherNames) {
  fs::path file = directory_.path() / "a", other = directory_.path() / "b";
  ASSERT_TRUE(io::WriteFile(file, kLarge).has_value());
  fs::create_hard_link(file, other);
  ASSERT_TRUE(store().PutFile("bucket", "k", file, {}).has_value());
  std::string changed(kLarge.size(), 'X');
  {
    auto fd = io::Open(other, O_WRONLY);
    ASSERT_TRUE(io::WriteAll(fd->get(), changed).has_value());
  }
  EXPECT_EQ(Get("k"), kLarge);
}

}  // namespace
}  // namespace sagebrush::objstore
