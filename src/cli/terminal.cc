#include "cli/terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>

#include "base/check.h"
#include "base/clock.h"
#include "cli/format.h"
#include "cli/locations.h"

namespace sagebrush::cli {
namespace {

// Written by the signal handler, so both are plain and lock-free.
std::array<int, 2> g_wake_pipe = {-1, -1};
std::atomic<bool> g_signalled = false;

void OnSignal(int) {
  int saved = errno;
  g_signalled = true;
  [[maybe_unused]] ssize_t written = write(g_wake_pipe[1], "x", 1);
  errno = saved;
}

}  // namespace

int ExitCodeFor(const Error& error) {
  switch (error.kind) {
    case ErrorKind::kNotFound:
      return kUnknownName;
    case ErrorKind::kUnavailable:
    case ErrorKind::kDeadlineExceeded:
      return kNoEngine;
    case ErrorKind::kCancelled:
      return kInterrupted;
    default:
      return kRefused;
  }
}

Terminal::Traits Terminal::DetectTraits() {
  Traits traits{.out_is_terminal = isatty(STDOUT_FILENO) == 1, .err_is_terminal = isatty(STDERR_FILENO) == 1};
  traits.colour = traits.out_is_terminal && !ProcessEnvironment("NO_COLOR") &&
                  ProcessEnvironment("TERM").value_or("dumb") != "dumb";
  return traits;
}

void Terminal::Out(std::string_view text) {
  if (traits_.out_is_terminal) ClearProgress();
  out_ << text;
}

void Terminal::Note(std::string_view line) {
  ClearProgress();
  out_.flush();  // in the order of events where both are one terminal
  err_ << line << '\n';
  err_.flush();
}

int Terminal::Fail(const Error& error) {
  Note("sagebrush: " + error.message);
  return ExitCodeFor(error);
}

void Terminal::Progress(std::string_view text) {
  if (!traits_.err_is_terminal || text == progress_) return;
  out_.flush();
  err_ << "\r\033[K" << text;
  err_.flush();
  progress_ = text;
}

void Terminal::ClearProgress() {
  if (progress_.empty()) return;
  err_ << "\r\033[K";
  err_.flush();
  progress_.clear();
}

void Terminal::Flush() { out_.flush(); }

SignalWaiter::SignalWaiter() {
  CHECK(g_wake_pipe[0] < 0);
  CHECK(pipe2(g_wake_pipe.data(), O_CLOEXEC | O_NONBLOCK) == 0);
  g_signalled = false;
  struct sigaction action{};
  action.sa_handler = OnSignal;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

SignalWaiter::~SignalWaiter() {
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  for (int& fd : g_wake_pipe) {
    close(fd);
    fd = -1;
  }
}

bool SignalWaiter::Wait(int64_t milliseconds) {
  pollfd waiting{.fd = g_wake_pipe[0], .events = POLLIN, .revents = 0};
  if (!g_signalled) poll(&waiting, 1, static_cast<int>(milliseconds));
  return !g_signalled;
}

int64_t SignalWaiter::MonotonicMs() const { return sagebrush::MonotonicMs(); }

}  // namespace sagebrush::cli
