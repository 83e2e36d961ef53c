#include "wire/aws_chunked.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstdio>

namespace sagebrush::wire {
namespace {

std::string Frame(std::string_view data, std::string_view extension = "") {
  char size[17];
  std::snprintf(size, sizeof size, "%zx", data.size());
  return size + std::string(extension) + "\r\n" + std::string(data) + "\r\n";
}

Result<std::string> DecodeWhole(std::string_view body, AwsChunkedDecoder& decoder) {
  std::string out;
  TRYV(decoder.Decode(body, out));
  TRYV(decoder.Finish());
  return out;
}

TEST(AwsChunked, DecodesWhatBotocoreSends) {
  AwsChunkedDecoder decoder;
  auto out = DecodeWhole(Frame("hello") + "0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n", decoder);
  ASSERT_TRUE(out.has_value()) << out.error().message;
  EXPECT_EQ(*out, "hello");
  EXPECT_EQ(decoder.decoded_bytes(), 5u);
  EXPECT_EQ(decoder.trailers().at("x-amz-checksum-crc32"), "NhCmhg==");
}

TEST(AwsChunked, AnEmptyObjectIsJustTheLastPart) {
  AwsChunkedDecoder decoder;
  EXPECT_EQ(*DecodeWhole("0\r\n\r\n", decoder), "");
  EXPECT_TRUE(decoder.trailers().empty());
}

TEST(AwsChunked, ReadsOverChunkExtensions) {
  AwsChunkedDecoder decoder;
  EXPECT_EQ(*DecodeWhole(Frame("abc", ";chunk-signature=00ff") + "0;chunk-signature=11\r\n\r\n", decoder), "abc");
}

class MalformedAwsChunked : public testing::TestWithParam<std::string> {};

TEST_P(MalformedAwsChunked, IsRefused) {
  AwsChunkedDecoder decoder;
  auto out = DecodeWhole(GetParam(), decoder);
  ASSERT_FALSE(out.has_value());
  EXPECT_EQ(out.error().kind, ErrorKind::kInvalidArgument);
  EXPECT_TRUE(out.error().code == "IncompleteBody" || out.error().code == "InvalidChunkSizeError");
}

INSTANTIATE_TEST_SUITE_P(Forms, MalformedAwsChunked,
                         testing::Values("", "5\r\nhello", "5\r\nhello\r\n", "5\r\nhel", "0\r\n", "0\r\na:b\r\n",
                                         "5\nhello\r\n0\r\n\r\n", "x\r\n", "\r\n", "-1\r\n",
                                         "0x5\r\nhello\r\n0\r\n\r\n", "+5\r\nhello\r\n0\r\n\r\n",
                                         "4\r\nhello\r\n0\r\n\r\n", "6\r\nhello\r\n0\r\n\r\n", "ffffffffffffffffff\r\n",
                                         "ffffffffffffffff\r\n", "0\r\nno colon\r\n\r\n", "0\r\n:v\r\n\r\n",
                                         "0\r\na:1\r\nA:2\r\n\r\n", "0\r\n\r\nmore",
                                         std::string(5000, '0') + "\r\n\r\n",
                                         "0\r\na:" + std::string(5000, 'b') + "\r\n\r\n"));

TEST(AwsChunked, ManyTrailersAreRefused) {
  std::string body = "0\r\n";
  for (int i = 0; i < 100; ++i) body += "t" + std::to_string(i) + ":" + std::string(500, 'v') + "\r\n";
  AwsChunkedDecoder decoder;
  EXPECT_FALSE(DecodeWhole(body + "\r\n", decoder).has_value());
}

RC_GTEST_PROP(AwsChunked, AnySplitOfAnyChunkingDecodesEqual, ()) {
  std::string body, expected;
  auto chunks = *rc::gen::container<std::vector<std::string>>(rc::gen::nonEmpty<std::string>());
  for (const std::string& chunk : chunks) {
    body += Frame(chunk);
    expected += chunk;
  }
  body += "0\r\nx-amz-checksum-sha256: abc=\r\n\r\n";
  AwsChunkedDecoder decoder;
  std::string out;
  for (std::string_view rest = body; !rest.empty();) {
    size_t count = *rc::gen::inRange<size_t>(1, rest.size() + 1);
    RC_ASSERT(decoder.Decode(rest.substr(0, count), out).has_value());
    rest.remove_prefix(count);
    RC_ASSERT(decoder.Finish().has_value() == rest.empty());
  }
  RC_ASSERT(out == expected);
  RC_ASSERT(decoder.decoded_bytes() == expected.size());
  RC_ASSERT(decoder.trailers().at("x-amz-checksum-sha256") == "abc=");
}

RC_GTEST_PROP(AwsChunked, GarbageNeverDecodesToMoreThanItHolds, (const std::string& garbage)) {
  AwsChunkedDecoder decoder;
  std::string out;
  static_cast<void>(decoder.Decode(garbage, out));
  RC_ASSERT(out.size() <= garbage.size());
}

}  // namespace
}  // namespace sagebrush::wire
