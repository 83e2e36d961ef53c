#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>
#include <sstream>

#include "base/text.h"
#include "objstore/checksum.h"
#include "objstore/store_test_util.h"

namespace sagebrush::objstore {
namespace {

constexpr size_t kPart = 5 << 20;

std::string Pattern(size_t size, int seed) {
  std::string data(size, '\0');
  uint32_t state = static_cast<uint32_t>(seed) * 2654435761u + 1;
  for (char& c : data) c = static_cast<char>((state = state * 1664525u + 1013904223u) >> 24);
  return data;
}

std::string RawChecksum(const std::string& algorithm, std::string_view data) {
  Checksum checksum = *Checksum::Create(algorithm);
  checksum.Update(data);
  return checksum.Finish();
}

class MultipartTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(store().CreateBucket("bucket").has_value()); }
  ObjectStore& store() { return directory_.store(); }
  std::string Create(PutOptions options = {}) { return *store().CreateMultipart("bucket", "key", std::move(options)); }
  std::string Put(const std::string& upload, int number, std::string_view data) {
    auto put = PutPartString(store(), "bucket", "key", upload, number, data);
    return put ? put->etag : "error " + put.error().code;
  }
  Result<ObjectInfo> Complete(const std::string& upload, std::vector<CompletedPart> parts,
                              CompleteOptions options = {}) {
    return store().CompleteMultipart("bucket", "key", upload, std::move(parts), std::move(options));
  }

  StoreDirectory directory_;
};

TEST_F(MultipartTest, PutsPartsTogetherInOrder) {
  PutOptions options;
  options.content_type = "application/gzip";
  options.metadata = {{"m", "1"}};
  std::string upload = Create(options);
  std::string one = Pattern(kPart, 1), two = "tail";
  std::string etag2 = Put(upload, 7, two), etag1 = Put(upload, 2, one);
  directory_.Reopen();
  EXPECT_EQ(store().ListParts("bucket", "key", upload)->size(), 2u);
  EXPECT_EQ(store().ListMultipart("bucket")->at(0).upload_id, upload);
  auto info = Complete(upload, {{2, '"' + etag1 + '"', ""}, {7, etag2, ""}});
  ASSERT_TRUE(info.has_value()) << info.error().message;
  EXPECT_EQ(info->etag, HexEncode(Md5(Md5(one) + Md5(two))) + "-2");
  EXPECT_EQ(info->size, one.size() + two.size());
  EXPECT_EQ(*GetString(store(), "bucket", "key"), one + two);
  EXPECT_EQ(store().Head("bucket", "key")->metadata, options.metadata);
  EXPECT_EQ(directory_.CountFiles("blobs"), 1u) << "the parts are gone";
  EXPECT_TRUE(store().ListMultipart("bucket")->empty());
}

TEST_F(MultipartTest, ACompletionSentAgainHasTheSameReply) {
  std::string upload = Create();
  std::string etag = Put(upload, 1, "small");
  auto first = Complete(upload, {{1, etag, ""}});
  auto second = Complete(upload, {{1, etag, ""}});
  ASSERT_TRUE(second.has_value()) << second.error().message;
  EXPECT_EQ(second->etag, first->etag);
  ASSERT_TRUE(PutString(store(), "bucket", "key", "newer").has_value());
  EXPECT_EQ(CodeOf(Complete(upload, {{1, etag, ""}})), "NoSuchUpload");
}

TEST_F(MultipartTest, WrongCompletionsAreRefusedAndTheUploadStays) {
  std::string upload = Create();
  std::string etag1 = Put(upload, 1, "too small"), etag2 = Put(upload, 2, "last");
  EXPECT_EQ(CodeOf(Complete(upload, {{1, etag1, ""}, {2, etag2, ""}})), "EntityTooSmall");
  EXPECT_EQ(CodeOf(Complete(upload, {{2, etag2, ""}, {1, etag1, ""}})), "InvalidPartOrder");
  EXPECT_EQ(CodeOf(Complete(upload, {{1, etag1, ""}, {1, etag1, ""}})), "InvalidPartOrder");
  EXPECT_EQ(CodeOf(Complete(upload, {{3, etag1, ""}})), "InvalidPart");
  EXPECT_EQ(CodeOf(Complete(upload, {{1, etag2, ""}})), "InvalidPart");
  EXPECT_EQ(CodeOf(Complete(upload, {})), "MalformedXML");
  EXPECT_EQ(CodeOf(Complete("nonsense", {{1, etag1, ""}})), "NoSuchUpload");
  CompleteOptions wrong_size;
  wrong_size.size = 1;
  EXPECT_EQ(CodeOf(Complete(upload, {{2, etag2, ""}}, wrong_size)), "InvalidRequest");
  EXPECT_TRUE(Complete(upload, {{2, etag2, ""}}).has_value());
  EXPECT_EQ(*GetString(store(), "bucket", "key"), "last");
}

TEST_F(MultipartTest, PartNumbersAndUploadsAreChecked) {
  std::string upload = Create();
  EXPECT_EQ(Put(upload, 0, ""), "error InvalidArgument");
  EXPECT_EQ(Put(upload, 10'001, ""), "error InvalidArgument");
  EXPECT_EQ(Put("nonsense", 1, ""), "error NoSuchUpload");
  EXPECT_EQ(CodeOf(store().PutPart("bucket", "other key", upload, 1, {}, "")), "NoSuchUpload");
  EXPECT_EQ(CodeOf(store().CreateMultipart("absent", "key", {})), "NoSuchBucket");
}

TEST_F(MultipartTest, AbortAndReplacementDropTheParts) {
  std::string upload = Create();
  Put(upload, 1, Pattern(100'000, 1));
  Put(upload, 1, Pattern(100'000, 2));
  EXPECT_EQ(directory_.CountFiles("blobs"), 1u);
  ASSERT_TRUE(store().AbortMultipart("bucket", "key", upload).has_value());
  EXPECT_EQ(directory_.CountFiles("blobs"), 0u);
  EXPECT_EQ(CodeOf(store().AbortMultipart("bucket", "key", upload)), "NoSuchUpload");
  Put(Create(), 1, Pattern(100'000, 3));
  ASSERT_TRUE(store().DeleteBucket("bucket").has_value());
  EXPECT_EQ(directory_.CountFiles("blobs"), 0u);
}

TEST_F(MultipartTest, CompositeAndFullObjectChecksums) {
  std::string one = Pattern(kPart, 1), two = "tail";
  for (const std::string algorithm : {"CRC32", "CRC32C", "SHA1", "SHA256", "CRC64NVME"}) {
    for (bool full : {false, true}) {
      if (full && !IsCrc(algorithm)) continue;
      PutOptions options;
      options.checksum = {algorithm, "", full};
      std::string upload = Create(options);
      std::string etag1 = Put(upload, 1, one), etag2 = Put(upload, 2, two);
      std::string sum1 = Base64Encode(RawChecksum(algorithm, one));
      std::string sum2 = Base64Encode(RawChecksum(algorithm, two));
      std::string whole =
          full || algorithm == "CRC64NVME"
              ? Base64Encode(RawChecksum(algorithm, one + two))
              : Base64Encode(RawChecksum(algorithm, RawChecksum(algorithm, one) + RawChecksum(algorithm, two))) + "-2";
      EXPECT_EQ(CodeOf(Complete(upload, {{1, etag1, sum2}, {2, etag2, sum2}})), "InvalidPart");
      CompleteOptions wrong;
      wrong.checksum = sum1;
      EXPECT_EQ(CodeOf(Complete(upload, {{1, etag1, sum1}, {2, etag2, sum2}}, wrong)), "BadDigest");
      CompleteOptions right;
      right.checksum = whole;
      auto info = Complete(upload, {{1, etag1, sum1}, {2, etag2, sum2}}, right);
      ASSERT_TRUE(info.has_value()) << algorithm << ": " << info.error().message;
      EXPECT_EQ(info->checksum, whole);
      EXPECT_EQ(info->checksum_algorithm, algorithm);
    }
  }
  PutOptions impossible;
  impossible.checksum = {"SHA256", "", true};
  EXPECT_EQ(CodeOf(store().CreateMultipart("bucket", "key", impossible)), "InvalidRequest");
}

TEST_F(MultipartTest, APartOfAnotherAlgorithmIsRefused) {
  PutOptions options;
  options.checksum = {"CRC32", ""};
  std::string upload = Create(options);
  EXPECT_EQ(CodeOf(PutPartString(store(), "bucket", "key", upload, 1, "x", {"SHA1", ""})), "InvalidRequest");
}

// Parts of any sizes, put in any order and some twice, some never named: the object is what the named parts say.
TEST_F(MultipartTest, AnyUploadOrderGivesTheNamedParts) {
  auto property = [this] {
    std::string upload = Create();
    int count = *rc::gen::inRange(1, 4);
    std::vector<int> order;
    for (int number = 1; number <= count; ++number) order.insert(order.end(), *rc::gen::inRange(1, 3) * 1, number);
    std::ranges::sort(order, {}, [keys = *rc::gen::container<std::vector<int>>(8, rc::gen::arbitrary<int>())](int n) {
      return keys[static_cast<size_t>(n)];
    });
    std::map<int, std::string> data, etags;
    int seed = 0;
    for (int number : order) {
      size_t size = kPart + *rc::gen::element<size_t>(0, 1, 70'000);
      if (number == count) size = *rc::gen::element<size_t>(0, 1, 1000, ObjectStore::kInlineBytes + 1);
      data[number] = Pattern(size, ++seed);
      etags[number] = Put(upload, number, data[number]);
    }
    std::vector<CompletedPart> named;
    std::string expected, digests;
    for (int number = 1; number <= count; ++number) {
      if (number < count && !*rc::gen::arbitrary<bool>()) continue;
      named.push_back({number, etags[number], ""});
      expected += data[number];
      digests += Md5(data[number]);
    }
    auto info = Complete(upload, named);
    RC_ASSERT(info.has_value());
    RC_ASSERT(info->etag == HexEncode(Md5(digests)) + "-" + std::to_string(named.size()));
    auto got = GetString(store(), "bucket", "key");
    RC_ASSERT(got.has_value());
    RC_ASSERT(*got == expected);
    RC_ASSERT(directory_.CountFiles("blobs") == (expected.size() > ObjectStore::kInlineBytes ? 1u : 0u));
  };
  rc::detail::TestMetadata metadata;
  metadata.id = "MultipartTest/AnyUploadOrderGivesTheNamedParts";
  rc::detail::TestParams params = rc::detail::configuration().testParams;
  params.maxSuccess = 15;  // each writes tens of megabytes
  auto result = rc::detail::checkTestable(property, metadata, params);
  std::ostringstream message;
  rc::detail::printResultMessage(result, message);
  EXPECT_TRUE(result.template is<rc::detail::SuccessResult>()) << message.str();
}

}  // namespace
}  // namespace sagebrush::objstore
