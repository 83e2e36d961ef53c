#include "agent/instance_loop.h"

#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <filesystem>

#include "base/clock.h"

namespace sagebrush::agent {
namespace {

namespace json = boost::json;

constexpr int64_t kConditionPeriodMs = 100;

std::string_view NameOf(InstanceEvent event) {
  switch (event) {
    case InstanceEvent::kReady:
      return "ready";
    case InstanceEvent::kEnded:
      return "ended";
    case InstanceEvent::kQuiet:
      return "quiet";
  }
  return "";
}

}  // namespace

InstanceLoop::InstanceLoop(Options options, driver::Sandbox& sandbox, LogWriter& log)
    : options_(std::move(options)), sandbox_(sandbox), log_(log) {}

Result<void> InstanceLoop::Open() {
  stop_watch_ = io::UniqueFd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!stop_watch_ || ::inotify_add_watch(stop_watch_.get(), options_.files.directory.c_str(), IN_MOVED_TO) < 0) {
    return Fail(FromErrno(errno, "cannot watch for stop requests"));
  }
  CheckStop();  // one that came before the watch
  TRY(connect_socket_, driver::ConnectSocket::Open(options_.files));
  return {};
}

void InstanceLoop::Note(Result<void> logged) {
  if (logged || log_failure_) return;
  log_failure_ = std::move(logged).error();
  static_cast<void>(sandbox_.control().Send({{"kind", "kill_all"}}));
}

bool InstanceLoop::PumpLog() {
  char bytes[64 * 1024];
  ssize_t got = ::read(sandbox_.log_fd(), bytes, sizeof bytes);
  if (got <= 0) return false;
  if (!log_failure_) Note(log_.Feed({bytes, static_cast<size_t>(got)}));
  return true;
}

void InstanceLoop::Drain() {
  while (PumpLog()) {
  }
  if (!log_failure_) Note(log_.Flush());
}

void InstanceLoop::CheckStop() {
  char events[4096];
  while (::read(stop_watch_.get(), events, sizeof events) > 0) {
  }
  std::error_code error;
  if (stop_requested_ || !std::filesystem::exists(options_.files.stop(), error)) return;
  stop_requested_ = true;
  if (program_is_over_) return;
  Result<std::string> text = io::ReadFile(options_.files.stop());
  boost::system::error_code bad;
  json::value request = text ? json::parse(*text, bad) : json::value();
  std::string reason = "a stop request";
  if (!bad && request.is_object() && request.as_object().contains("reason")) {
    reason = std::string(request.at("reason").as_string());
  }
  Note(log_.AppendLine("sagebrush: stopping because of " + reason + "; the program has " +
                       std::to_string(options_.spec->stop_grace_ms / 1000) + " s to end"));
}

void InstanceLoop::SendTerm() { static_cast<void>(sandbox_.control().Send({{"kind", signal_}, {"signal", SIGTERM}})); }

void InstanceLoop::PressStop() {
  if (!terminated_) {
    terminated_ = true;
    kill_at_ms_ = MonotonicMs() + options_.spec->stop_grace_ms;
    SendTerm();
  } else if (!killed_ && MonotonicMs() >= kill_at_ms_) {
    killed_ = true;
    static_cast<void>(sandbox_.control().Send({{"kind", "kill_all"}}));
  }
}

// Whatever speaks for the end of the program that runs.
void InstanceLoop::Press() {
  if (condition_ && !released_ && condition_()) released_ = true;
  if (companion_end_ && !killed_) {
    terminated_ = killed_ = true;
    static_cast<void>(sandbox_.control().Send({{"kind", "kill_all"}}));
  }
  if (stop_requested_ || released_) PressStop();
}

int InstanceLoop::PollTimeout(bool stoppable) const {
  int64_t until = 0;
  for (int64_t candidate : {log_.flush_at_ms(), remote_shell_ ? remote_shell_->retry_at_ms() : int64_t{0},
                            stoppable && terminated_ && !killed_ ? kill_at_ms_ : int64_t{0},
                            condition_ && !released_ ? MonotonicMs() + kConditionPeriodMs : int64_t{0}}) {
    if (candidate != 0) until = until == 0 ? candidate : std::min(until, candidate);
  }
  if (until == 0) return -1;
  return static_cast<int>(std::clamp<int64_t>(until - MonotonicMs(), 0, 3'600'000));
}

void InstanceLoop::PollOnce(bool stoppable) {
  std::vector<pollfd> waiting = {{sandbox_.log_fd(), POLLIN, 0},
                                 {gone_ ? -1 : sandbox_.control().fd(), POLLIN, 0},
                                 {stop_watch_.get(), POLLIN, 0},
                                 {connect_socket_->fd(), POLLIN, 0}};
  size_t proxy_at = waiting.size();
  if (proxy_) proxy_->AddTo(waiting);
  size_t shell_at = waiting.size();
  if (remote_shell_) remote_shell_->AddTo(waiting);
  int ready = ::poll(waiting.data(), waiting.size(), PollTimeout(stoppable));
  if (ready < 0 && errno != EINTR) CheckStop();
  if (ready < 0) return;
  if ((waiting[0].revents & POLLIN) != 0) PumpLog();
  if (log_.flush_at_ms() != 0 && MonotonicMs() >= log_.flush_at_ms() && !log_failure_) Note(log_.Flush());
  if (waiting[2].revents != 0) CheckStop();
  if (waiting[3].revents != 0) connect_socket_->Serve();
  if (proxy_) proxy_->Serve(waiting.data() + proxy_at, shell_at - proxy_at);
  if (remote_shell_) remote_shell_->Serve(waiting.data() + shell_at, waiting.size() - shell_at);
  if (waiting[1].revents != 0 && !sandbox_.control().Receive()) gone_ = true;
}

void InstanceLoop::TakeListeners() {
  io::UniqueFd engine = sandbox_.control().TakeDescriptor(), shell = sandbox_.control().TakeDescriptor();
  if (!options_.spec->engine_socket.empty()) {
    proxy_ = std::make_unique<EngineProxy>(std::move(engine), options_.spec->engine_socket,
                                           options_.spec->network_isolation);
  }
  remote_shell_ = std::make_unique<RemoteShell>(
      RemoteShell::Options{options_.files, options_.spec, std::move(options_.environment)}, sandbox_.control(),
      std::move(shell));
}

std::optional<Result<EventReport>> InstanceLoop::TakeEvents(InstanceEvent wanted) {
  while (auto message = sandbox_.control().Next()) {
    const json::value* event = message->if_contains("event");
    std::string_view name = event != nullptr && event->is_string() ? std::string_view(event->get_string()) : "";
    if (name == "failed") {
      const json::value* text = message->if_contains("message");
      return Fail(Error(ErrorKind::kUnavailable, text != nullptr && text->is_string() ? std::string(text->get_string())
                                                                                      : "the instance failed"));
    }
    if (name == "ready") TakeListeners();
    const json::value* end = message->if_contains("status");
    if (name == "companion_ended" && end != nullptr) companion_end_ = static_cast<int>(end->as_int64());
    if (name == "remote_ended" && end != nullptr && remote_shell_) {
      remote_shell_->Ended(message->at("id").as_int64(), static_cast<int>(end->as_int64()));
    }
    if (name != NameOf(wanted)) continue;
    EventReport report;
    if (end != nullptr) report.wait_status = static_cast<int>(end->as_int64());
    return report;
  }
  return std::nullopt;
}

Result<EventReport> InstanceLoop::Wait(InstanceEvent wanted, bool stoppable) {
  while (true) {
    if (std::optional<Result<EventReport>> report = TakeEvents(wanted)) return std::move(*report);
    if (gone_) return Fail(Error(ErrorKind::kUnavailable, "The instance's first process died."));
    if (stoppable) Press();
    PollOnce(stoppable);
  }
}

Result<void> InstanceLoop::AwaitOrStop(std::function<bool()> condition) {
  condition_ = std::move(condition);
  released_ = false;
  Result<void> awaited = Await([this] { return stop_requested_ || condition_(); });
  condition_ = nullptr;
  return awaited;
}

Result<void> InstanceLoop::AwaitEndOfStop(std::function<bool()> condition) {
  int64_t until_ms = MonotonicMs() + options_.spec->stop_grace_ms;
  condition_ = std::move(condition);
  released_ = false;
  Result<void> awaited = Await([this, until_ms] { return condition_() || MonotonicMs() >= until_ms; });
  condition_ = nullptr;
  return awaited;
}

Result<void> InstanceLoop::Await(const std::function<bool()>& until) {
  while (!companion_end_ && !log_failure_ && !until()) {
    if (std::optional<Result<EventReport>> report = TakeEvents(InstanceEvent::kEnded); report && !*report) {
      return Fail(std::move(*report).error());
    }
    if (gone_) return Fail(Error(ErrorKind::kUnavailable, "The instance's first process died."));
    if (!companion_end_) PollOnce(false);
  }
  return {};
}

}  // namespace sagebrush::agent
