#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>

#include "base/error.h"
#include "client/transport.h"

namespace sagebrush::cli {

// What every command ends with; docs/cli.md explains them to users.
enum ExitCode : int {
  kOk = 0,
  kFailed = 1,         // the job failed; doctor: something mandatory is missing
  kUnknownName = 2,    // no such job or endpoint
  kStopped = 3,        // the job was stopped
  kNoEngine = 4,       // no engine answers
  kRefused = 5,        // the engine or this machine refused; the message says why
  kUsage = 64,         // wrong command line or configuration
  kInterrupted = 130,  // Ctrl-C
};

int ExitCodeFor(const Error& error);

// Where a command writes. Results go to `out`; everything about them (status, progress, errors) to `err`, so that a
// pipe holds results only. One thread.
class Terminal {
 public:
  struct Traits {
    bool out_is_terminal = false;
    bool err_is_terminal = false;
    bool colour = false;  // of `out`; off by NO_COLOR and TERM=dumb
  };
  Terminal(std::ostream& out, std::ostream& err, Traits traits) : out_(out), err_(err), traits_(traits) {}
  ~Terminal() { ClearProgress(); }

  // Of this process: isatty and the environment.
  static Traits DetectTraits();

  void Out(std::string_view text);   // as it is
  void Note(std::string_view line);  // one line on `err`
  int Fail(const Error& error);      // "sagebrush: <message>" on `err`; the exit code for it
  // A line on a terminal's `err` that the next output replaces; nothing in a pipe.
  void Progress(std::string_view text);
  void ClearProgress();
  void Flush();

  const Traits& traits() const { return traits_; }

 private:
  std::ostream& out_;
  std::ostream& err_;
  Traits traits_;
  std::string progress_;
};

// Waits in poll(2) and wakes at once on SIGINT or SIGTERM. While one exists the first such signal ends Wait; a second
// one kills the process as usual. One per process.
class SignalWaiter final : public client::Waiter {
 public:
  SignalWaiter();
  ~SignalWaiter() override;
  bool Wait(int64_t milliseconds) override;
  int64_t MonotonicMs() const override;
};

}  // namespace sagebrush::cli
