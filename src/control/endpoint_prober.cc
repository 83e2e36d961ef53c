#include "control/endpoint_prober.h"

#include "base/clock.h"
#include "http/client.h"
#include "routing/invoker.h"

namespace sagebrush::control {
namespace {

constexpr std::chrono::milliseconds kPingLimit{2'000};
constexpr int kForgiven = 3;  // failed pings in a row of one that was healthy
constexpr int64_t kHealthyPauseMs = 5'000, kFailingPauseMs = 500;

}  // namespace

EndpointProber::EndpointProber(driver::Driver& driver, const routing::Router& router,
                               std::function<void(const InstanceId&)> on_change)
    : driver_(driver),
      router_(router),
      on_change_(std::move(on_change)),
      queue_({.name = "endpoint_prober",
              .threads = 2,
              .work = [this](const std::string& key) { Probe(InstanceId(key)); },
              .resync = [] { return std::vector<std::string>(); }}) {}

void EndpointProber::Watch(const InstanceId& id) {
  {
    std::lock_guard lock(mutex_);
    if (!subjects_.try_emplace(id, Subject{.since_ms = MonotonicMs()}).second) return;
  }
  queue_.Add(id.value());
}

void EndpointProber::Forget(const InstanceId& id) {
  std::lock_guard lock(mutex_);
  subjects_.erase(id);
}

bool EndpointProber::Healthy(const Subject& subject) { return subject.pong_ms != 0 && subject.failures < kForgiven; }

bool EndpointProber::healthy(const InstanceId& id) const {
  std::lock_guard lock(mutex_);
  auto found = subjects_.find(id);
  return found != subjects_.end() && Healthy(found->second);
}

bool EndpointProber::unwell(const InstanceId& id) const {
  std::lock_guard lock(mutex_);
  auto found = subjects_.find(id);
  return found != subjects_.end() && found->second.failures > 0;
}

bool EndpointProber::silent(const InstanceId& id) const {
  int64_t sign_ms = router_.answered_ms(id);
  std::lock_guard lock(mutex_);
  auto found = subjects_.find(id);
  if (found == subjects_.end() || found->second.pong_ms == 0 || Healthy(found->second)) return false;
  return MonotonicMs() - std::max(sign_ms, found->second.pong_ms) > kSilenceMs;
}

// A server is up within milliseconds or within minutes; asking costs little, and less the longer it takes.
int64_t EndpointProber::PauseMs(const Subject& subject, int64_t now_ms) {
  if (subject.pong_ms != 0) return subject.failures == 0 ? kHealthyPauseMs : kFailingPauseMs;
  int64_t waited_ms = now_ms - subject.since_ms;
  return std::clamp<int64_t>(waited_ms / 20, 10, kFailingPauseMs);
}

bool EndpointProber::Ping(const InstanceId& id) const {
  Result<io::UniqueFd> socket = driver_.Connect(id, routing::Invoker::kPort);
  if (!socket) return false;
  http::Client client = http::Client::OnSocket(*std::move(socket), {.deadline = kPingLimit, .server = "the instance"});
  Result<http::ClientResponse> response = client.Call({.method = "GET", .target = "/ping"});
  return response && response->status == 200;
}

void EndpointProber::Probe(const InstanceId& id) {
  {
    std::lock_guard lock(mutex_);
    if (!subjects_.contains(id)) return;
  }
  bool good = Ping(id);
  int64_t now_ms = MonotonicMs(), pause_ms = 0;
  bool changed = false;
  {
    std::lock_guard lock(mutex_);
    auto found = subjects_.find(id);
    if (found == subjects_.end()) return;
    Subject& subject = found->second;
    bool before = Healthy(subject);
    subject.failures = good ? 0 : subject.failures + 1;
    if (good) subject.pong_ms = now_ms;
    changed = Healthy(subject) != before;
    pause_ms = PauseMs(subject, now_ms);
  }
  queue_.AddAfter(id.value(), pause_ms);
  if (changed) on_change_(id);
}

}  // namespace sagebrush::control
