#include "io/subprocess.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cerrno>
#include <cstdlib>

#include "base/clock.h"

namespace sagebrush::io {
namespace {

using testing::HasSubstr;

Command Shell(std::string script) { return {.argv = {"sh", "-c", std::move(script)}}; }

TEST(SubprocessTest, CollectsBothOutputsAndTheExitCode) {
  auto outcome = io::Run(Shell("echo out; echo err >&2; exit 7"));
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->output, "out\nerr\n");
  EXPECT_EQ(outcome->exit_code, 7);
}

TEST(SubprocessTest, ASignalIs128PlusItsNumber) {
  EXPECT_EQ(io::Run(Shell("kill -TERM $$"))->exit_code, 128 + SIGTERM);
}

TEST(SubprocessTest, EnvironmentDirectoryAndInput) {
  setenv("SUBPROCESS_TEST_INHERITED", "from the caller", 1);
  Command command = Shell("echo $SUBPROCESS_TEST_INHERITED/$ADDED; pwd; wc -c");
  command.environment = {{"ADDED", "a b"}};
  command.working_directory = "/usr";
  auto outcome = io::Run(command);
  unsetenv("SUBPROCESS_TEST_INHERITED");
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->output, "from the caller/a b\n/usr\n0\n");
}

TEST(SubprocessTest, KeepsTheEndOfALongOutputWithinTheCap) {
  auto outcome = io::Run(Shell("head -c 100000 /dev/zero | tr '\\0' a; head -c 1000 /dev/zero | tr '\\0' z"));
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->output.size(), 64u * 1024);
  EXPECT_TRUE(outcome->output.ends_with(std::string(1000, 'z')));
  EXPECT_TRUE(outcome->output.starts_with("a"));
}

TEST(SubprocessTest, ShowsLinesAsTheyCome) {
  std::vector<std::string> lines;
  Command command = Shell("echo one; echo; printf 'two\\nthree'");
  command.on_line = [&](std::string_view line) { lines.emplace_back(line); };
  ASSERT_TRUE(io::Run(command));
  EXPECT_EQ(lines, (std::vector<std::string>{"one", "", "two"}));
}

TEST(SubprocessTest, ACancellationEndsIt) {
  std::atomic<bool> cancelled = false;
  Command command = Shell("echo started; exec sleep 600");
  command.cancelled = &cancelled;
  command.on_line = [&](std::string_view) { cancelled = true; };
  auto outcome = io::Run(command);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().kind, ErrorKind::kCancelled);
}

TEST(SubprocessTest, TheDeadlineEndsTheWholeProcessGroup) {
  // The grandchild holds the pipe too and prints its id first.
  Command command = Shell("sh -c 'echo $$ >&2; exec sleep 600' & wait");
  command.deadline = std::chrono::seconds(1);
  int64_t start_ms = MonotonicMs();
  auto outcome = io::Run(command);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().kind, ErrorKind::kDeadlineExceeded);
  EXPECT_THAT(outcome.error().message, HasSubstr("sh did not end within 1 s"));
  EXPECT_LT(MonotonicMs() - start_ms, 60'000);
}

TEST(SubprocessTest, TheDeadlineHoldsForAChildThatClosedItsOutput) {
  Command command = Shell("exec >/dev/null 2>&1; exec sleep 600");
  command.deadline = std::chrono::seconds(1);
  int64_t start_ms = MonotonicMs();
  auto outcome = io::Run(command);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().kind, ErrorKind::kDeadlineExceeded);
  EXPECT_LT(MonotonicMs() - start_ms, 60'000);
}

TEST(SubprocessTest, WhatCannotBeStartedIsAnErrorThatNamesIt) {
  auto missing = io::Run({.argv = {"no-such-program-here"}});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().kind, ErrorKind::kNotFound);
  EXPECT_THAT(missing.error().message, HasSubstr("no-such-program-here"));
  auto forbidden = io::Run({.argv = {"/etc/passwd"}});
  ASSERT_FALSE(forbidden);
  EXPECT_EQ(forbidden.error().kind, ErrorKind::kPermissionDenied);
  Command nowhere = Shell("true");
  nowhere.working_directory = "/no/such/directory";
  ASSERT_FALSE(io::Run(nowhere));
}

}  // namespace
}  // namespace sagebrush::io
