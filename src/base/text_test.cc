#include "base/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <limits>

#include "base/log.h"

namespace sagebrush {
namespace {

using testing::ElementsAre;

TEST(TextTest, SplitKeepsEmptyParts) {
  EXPECT_THAT(Split("a,b", ','), ElementsAre("a", "b"));
  EXPECT_THAT(Split(",a,,", ','), ElementsAre("", "a", "", ""));
  EXPECT_THAT(Split("", ','), ElementsAre(""));
}

TEST(TextTest, TrimAndCase) {
  EXPECT_EQ(Trim(" \t a b\t "), "a b");
  EXPECT_EQ(Trim("  \t"), "");
  EXPECT_EQ(Trim("\n"), "\n");
  EXPECT_EQ(ToLower("MiXed-09\xC3\x84"), "mixed-09\xC3\x84");
  EXPECT_TRUE(EqualsIgnoreCase("Content-Length", "content-LENGTH"));
  EXPECT_FALSE(EqualsIgnoreCase("a", "ab"));
  EXPECT_FALSE(EqualsIgnoreCase("@", "`"));
}

TEST(TextTest, ParseIntTakesWholeUnsignedDecimals) {
  EXPECT_EQ(ParseInt("0"), 0);
  EXPECT_EQ(ParseInt("007"), 7);
  EXPECT_EQ(ParseInt("9223372036854775807"), std::numeric_limits<int64_t>::max());
  for (const char* bad : {"", "-1", "-0", "+1", " 1", "1 ", "1x", "0x1", "9223372036854775808"}) {
    EXPECT_EQ(ParseInt(bad), std::nullopt) << bad;
  }
}

TEST(TextTest, InvalidUtf8IsReplacedByteByByte) {
  const std::string bad = "\xEF\xBF\xBD";
  EXPECT_EQ(ReplaceInvalidUtf8("plain caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80"),
            "plain caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80");
  EXPECT_EQ(ReplaceInvalidUtf8("a\xFFz"), "a" + bad + "z");
  EXPECT_EQ(ReplaceInvalidUtf8("\xC3"), bad);                                // cut short
  EXPECT_EQ(ReplaceInvalidUtf8("\xC0\x80"), bad + bad);                      // overlong
  EXPECT_EQ(ReplaceInvalidUtf8("\xE0\x80\x80"), bad + bad + bad);            // overlong
  EXPECT_EQ(ReplaceInvalidUtf8("\xED\xA0\x80"), bad + bad + bad);            // surrogate
  EXPECT_EQ(ReplaceInvalidUtf8("\xF4\x90\x80\x80"), bad + bad + bad + bad);  // past U+10FFFF
  EXPECT_EQ(ReplaceInvalidUtf8("\xF5\x80\x80\x80"), bad + bad + bad + bad);
}

TEST(TextProperty, ReplacingInvalidUtf8IsIdempotentAndKeepsAscii) {
  EXPECT_TRUE(rc::check([](const std::string& text) {
    std::string once = ReplaceInvalidUtf8(text);
    RC_ASSERT(ReplaceInvalidUtf8(once) == once);
    auto ascii = [](const std::string& from) {
      std::string out;
      for (char c : from) {
        if (static_cast<unsigned char>(c) < 0x80) out += c;
      }
      return out;
    };
    RC_ASSERT(ascii(once) == ascii(text));
  }));
}

TEST(TextTest, HexAndBase64Vectors) {
  EXPECT_EQ(HexEncode(std::string_view("\x00\xFF\x10", 3)), "00ff10");
  EXPECT_EQ(HexDecode("00Ff10"), std::string("\x00\xFF\x10", 3));
  EXPECT_EQ(HexDecode("0"), std::nullopt);
  EXPECT_EQ(HexDecode("0g"), std::nullopt);
  // RFC 4648 section 10.
  EXPECT_EQ(Base64Encode(""), "");
  EXPECT_EQ(Base64Encode("f"), "Zg==");
  EXPECT_EQ(Base64Encode("fo"), "Zm8=");
  EXPECT_EQ(Base64Encode("foobar"), "Zm9vYmFy");
  EXPECT_EQ(Base64Decode("Zm9vYg=="), "foob");
  EXPECT_EQ(Base64Decode(""), "");
  for (const char* bad :
       {"Zg=", "Zg", "Z", "Zm9v!mFy", "Zm9v\nmFy", "====", "Z===", "Zg==Zg==", "=Zg=", " Zg=", "Zm9v    "}) {
    EXPECT_EQ(Base64Decode(bad), std::nullopt) << bad;
  }
}

TEST(TextProperty, EncodingsComeBack) {
  EXPECT_TRUE(rc::check([](const std::string& bytes) {
    RC_ASSERT(HexDecode(HexEncode(bytes)) == bytes);
    RC_ASSERT(Base64Decode(Base64Encode(bytes)) == bytes);
    RC_ASSERT(UriDecode(UriEncode(bytes)) == bytes);
    RC_ASSERT(UriDecode(UriEncode(bytes, true)) == bytes);
  }));
}

TEST(TextTest, UriEncodingAsInRfc3986) {
  EXPECT_EQ(UriEncode("AZaz09-._~"), "AZaz09-._~");
  EXPECT_EQ(UriEncode("a/b c+\xC3\xA9"), "a%2Fb%20c%2B%C3%A9");
  EXPECT_EQ(UriEncode("a/b", true), "a/b");
  EXPECT_EQ(UriDecode("a%2fb+c"), "a/b+c");
  EXPECT_EQ(UriDecode("a+b", true), "a b");
  for (const char* bad : {"%", "%2", "a%", "%zz", "%2g"}) EXPECT_EQ(UriDecode(bad), std::nullopt) << bad;
}

TEST(LogTest, JsonEscapeKeepsALineOneValidJsonString) {
  EXPECT_EQ(JsonEscape("a\"b\\c\n\r\t"), "a\\\"b\\\\c\\n\\r\\t");
  EXPECT_EQ(JsonEscape(std::string_view("\x01\x00", 2)), "\\u0001\\u0000");
  EXPECT_EQ(JsonEscape("\xFF"), "\xEF\xBF\xBD");
}

TEST(LogTest, WritesOneJsonLineAndHonoursTheLevel) {
  testing::internal::CaptureStderr();
  SetLogLevel(LogLevel::kWarning);
  Log(LogLevel::kInfo, "not_seen");
  Log(LogLevel::kError, "job_failed", {{"job", "a\nb"}, {"count", 3}, {"retried", false}});
  SetLogLevel(LogLevel::kInfo);
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              testing::MatchesRegex("\\{\"time\":\"[^\"]+Z\",\"level\":\"error\",\"event\":\"job_failed\","
                                    "\"job\":\"a\\\\nb\",\"count\":3,\"retried\":false\\}\n"));
}

}  // namespace
}  // namespace sagebrush
