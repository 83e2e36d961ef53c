#include "cli/serve.h"

#include <signal.h>

#include <cstdio>
#include <thread>

#include "base/log.h"
#include "cli/engine.h"
#include "cli/stop_limit.h"

namespace sagebrush::cli {
namespace {

// Requests get 3 s to end; what else is under way takes no more than a few.
constexpr std::chrono::seconds kStopLimit{25};

LogLevel ParseLogLevel(const std::string& name) {
  if (name == "debug") return LogLevel::kDebug;
  if (name == "warning") return LogLevel::kWarning;
  if (name == "error") return LogLevel::kError;
  return LogLevel::kInfo;
}

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

}  // namespace

int RunServe(const ServeOptions& options) {
  SetLogLevel(ParseLogLevel(options.log_level));
  ::signal(SIGPIPE, SIG_IGN);
  // Blocked in every thread; one waits for them.
  sigset_t signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  Result<std::unique_ptr<Engine>> engine = Engine::Open(options);
  if (!engine) {
    std::fprintf(stderr, "sagebrush: cannot start the engine: %s\n", engine.error().message.c_str());
    return 1;
  }
  std::thread waiter([&engine, signals] {
    int signal = 0;
    sigwait(&signals, &signal);
    Log(LogLevel::kInfo, "engine_stopping", {{"signal", signal}});
    BeginStopLimit(kStopLimit);
    (*engine)->RequestStop();
  });
  (*engine)->Run();
  waiter.join();
  return 0;
}

}  // namespace sagebrush::cli
