#include "cli/format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "base/text.h"
#include "io/subprocess.h"

namespace sagebrush::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(ShellQuote, LeavesPlainWordsAlone) {
  EXPECT_EQ(ShellQuote("http://127.0.0.1:8770"), "http://127.0.0.1:8770");
  EXPECT_EQ(ShellQuote(""), "''");
  EXPECT_EQ(ShellQuote("it's"), "'it'\\''s'");
  EXPECT_EQ(ShellQuote("a=b"), "'a=b'");
  EXPECT_EQ(ShellQuote("~"), "'~'");
}

TEST(ShellQuote, AShellReadsBackExactlyWhatWasQuoted) {
  // One shell for many words: each is printed with a mark that no word holds.
  std::vector<std::string> words = {"$(touch x)", "`id`",  "a b",  "\\", "'",  "\"", "!!",
                                    "*",          "#x",    "a\nb", "\t", "é",  ";",  "-n",
                                    "$HOME",      "a'b'c", "&&",   "|",  "<>", "(",  "'; false; '"};
  rc::check([&words] {
    auto word = *rc::gen::nonEmpty(rc::gen::container<std::string>(rc::gen::inRange<char>(1, 127)));
    std::erase(word, '\x01');
    words.push_back(word);
  });
  std::string script, expected;
  for (const std::string& word : words) {
    script += "printf '%s\\001' " + ShellQuote(word) + "\n";
    expected += word + '\x01';
  }
  auto outcome = io::Run({.argv = {"sh", "-c", script}});
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->exit_code, 0);
  EXPECT_EQ(outcome->output, expected);
}

TEST(FormatDuration, GrowsItsUnits) {
  EXPECT_EQ(FormatDuration(-5), "0.0s");
  EXPECT_EQ(FormatDuration(0), "0.0s");
  EXPECT_EQ(FormatDuration(12'340), "12.3s");
  EXPECT_EQ(FormatDuration(59'940), "59.9s");
  EXPECT_EQ(FormatDuration(59'960), "1m 00s");
  EXPECT_EQ(FormatDuration(125'000), "2m 05s");
  EXPECT_EQ(FormatDuration(3'600'000), "1h 00m");
  EXPECT_EQ(FormatDuration(86'400'000), "1d 00h");
  EXPECT_EQ(FormatDuration(100 * 3'600'000LL), "4d 04h");
}

TEST(FormatBytes, GrowsItsUnits) {
  EXPECT_EQ(FormatBytes(512), "512 B");
  EXPECT_EQ(FormatBytes(1536), "1.5 KiB");
  EXPECT_EQ(FormatBytes(10ULL << 30), "10.0 GiB");
}

TEST(ParseSince, ReadsTimesAgoAndPointsInTime) {
  constexpr int64_t kNow = 1'700'000'000'000;
  EXPECT_EQ(ParseSince("90s", kNow), kNow - 90'000);
  EXPECT_EQ(ParseSince("10m", kNow), kNow - 600'000);
  EXPECT_EQ(ParseSince("2h", kNow), kNow - 7'200'000);
  EXPECT_EQ(ParseSince("1d", kNow), kNow - 86'400'000);
  EXPECT_EQ(ParseSince("2023-11-14T22:13:20Z", 0), kNow);
  for (const char* bad :
       {"", "s", "-1s", "1.5h", "yesterday", "2023-11-14", "99999999999999d", "2023-11-14T22:13:20"}) {
    EXPECT_EQ(ParseSince(bad, kNow), std::nullopt) << bad;
  }
}

TEST(FormatTable, PadsByWhatATerminalShows) {
  EXPECT_EQ(FormatTable({"NAME", "N"}, {{"größe", "1"}, {"漢字", "22"}}),
            "NAME   N\n"
            "größe  1\n"
            "漢字   22\n");
  EXPECT_EQ(FormatTable({"A", "B"}, {{"x", ""}}), "A  B\nx\n");
}

TEST(Printable, NothingSteersTheTerminal) {
  EXPECT_EQ(Printable("a\033[31mb\r\nc\td\x7F"), "a\\x1b[31mb\\x0d c\td\\x7f");
  EXPECT_EQ(Printable("Größe ✓"), "Größe ✓");
}

TEST(Closest, SuggestsTyposAndParts) {
  std::vector<std::string> names = {"digits-2026-01-01", "digits-2026-01-02", "mnist-7", "other"};
  EXPECT_THAT(Closest("mnits-7", names, 3), ElementsAre("mnist-7"));
  EXPECT_THAT(Closest("digits", names, 1), ElementsAre("digits-2026-01-01"));
  EXPECT_THAT(Closest("digits-2026-01-03", names, 3), ElementsAre("digits-2026-01-01", "digits-2026-01-02"));
  EXPECT_THAT(Closest("qqqqqqqq", names, 3), IsEmpty());
  EXPECT_THAT(Closest("", names, 3), IsEmpty());
}

TEST(WithoutUserInfo, HidesThePassword) {
  EXPECT_EQ(WithoutUserInfo("http://me:secret@proxy:3128/"), "http://***@proxy:3128/");
  EXPECT_EQ(WithoutUserInfo("http://proxy:3128/a@b"), "http://proxy:3128/a@b");
  EXPECT_EQ(WithoutUserInfo("me:secret@proxy"), "***@proxy");
}

}  // namespace
}  // namespace sagebrush::cli
