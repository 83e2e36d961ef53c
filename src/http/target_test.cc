#include "http/target.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/text.h"

namespace sagebrush::http {
namespace {

TEST(TargetTest, ParsesAuthorities) {
  struct Case {
    const char* text;
    uint16_t default_port;
    const char* host;  // nullptr: refused
    uint16_t port;
  };
  for (const Case& c : {Case{"Host", 80, "host", 80}, Case{"h:1", 80, "h", 1}, Case{"h", 0, nullptr, 0},
                        Case{"h:", 80, "h", 80}, Case{"h:0", 80, nullptr, 0}, Case{"h:65536", 80, nullptr, 0},
                        Case{"", 80, nullptr, 0}, Case{":80", 80, nullptr, 0}, Case{"[::1]:8080", 0, "::1", 8080},
                        Case{"[FE80::1]", 80, "fe80::1", 80}, Case{"[::1", 80, nullptr, 0},
                        Case{"[::1]x", 80, nullptr, 0}, Case{"[host]:1", 80, nullptr, 0}, Case{"a b", 80, nullptr, 0},
                        Case{"user@h", 80, nullptr, 0}, Case{"h:1:2", 80, nullptr, 0}, Case{"h:+1", 80, nullptr, 0}}) {
    auto parsed = ParseAuthority(c.text, c.default_port);
    ASSERT_EQ(parsed.has_value(), c.host != nullptr) << c.text;
    if (!parsed) continue;
    EXPECT_EQ(parsed->host, c.host);
    EXPECT_EQ(parsed->port, c.port);
  }
}

TEST(TargetTest, TakesAbsoluteTargetsApart) {
  auto parsed = ParseTarget("HTTP://Host.Example:81/a%20b?c=d");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->authority->host, "host.example");
  EXPECT_EQ(parsed->authority->port, 81);
  EXPECT_EQ(parsed->target, "/a%20b?c=d");
  EXPECT_EQ(ParseTarget("http://h")->target, "/");
  EXPECT_EQ(ParseTarget("http://h?q")->target, "/?q");
  EXPECT_FALSE(ParseTarget("http:///x"));
  EXPECT_FALSE(ParseTarget("ftp://h/"));
  EXPECT_EQ(ParseTarget("*")->path, "*");
}

RC_GTEST_PROP(TargetTest, QueriesComeBackAsTheyWereEncoded,
              (const std::vector<std::pair<std::string, std::string>>& query)) {
  std::string target = "/p?";
  for (const auto& [key, value] : query) {
    if (target.back() != '?') target += '&';
    target += UriEncode(key) + "=" + UriEncode(value);
  }
  Result<Target> parsed = ParseTarget(target);
  RC_ASSERT(parsed.has_value());
  RC_ASSERT(parsed->query == query);
  RC_ASSERT(parsed->target == target);
}

RC_GTEST_PROP(TargetTest, AnyBytesAreParsedOrRefused, (const std::string& bytes)) {
  Result<Target> parsed = ParseTarget("/" + bytes);
  if (parsed) RC_ASSERT(parsed->target == "/" + bytes);
}

}  // namespace
}  // namespace sagebrush::http
