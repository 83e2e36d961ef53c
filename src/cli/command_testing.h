#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "cli/command_context.h"
#include "cli/testing.h"
#include "client/testing/fake_engine.h"

namespace sagebrush::cli::testing {

using Steps = std::deque<std::function<void()>>;

// One command against an engine in memory.
class CommandTest : public ::testing::Test {
 protected:
  // `steps` happen one after the other while the command waits; after the last one the user presses Ctrl-C.
  template <class Command>
  int Run(Command command, Steps steps = {}, Terminal::Traits traits = {}) {
    terminal_ = std::make_unique<CapturedTerminal>(traits);
    client::testing::ScriptedWaiter waiter(std::move(steps));
    CommandContext context{.terminal = terminal_->terminal, .engine = engine_, .waiter = waiter, .clock = clock_};
    return command(context);
  }
  std::string Out() const { return terminal_->out.str(); }
  std::string Err() const { return terminal_->err.str(); }

  client::testing::FakeEngine engine_;
  ManualClock clock_{1'700'000'060'000};
  std::unique_ptr<CapturedTerminal> terminal_;
};

}  // namespace sagebrush::cli::testing
