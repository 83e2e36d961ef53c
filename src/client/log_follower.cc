#include "client/log_follower.h"

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace sagebrush::client {
namespace {

// "algo-10" sorts after "algo-2".
std::pair<int64_t, std::string> HostOrder(const std::string& host) {
  size_t dash = host.rfind('-');
  auto number = dash == std::string::npos ? std::nullopt : ParseInt(std::string_view(host).substr(dash + 1));
  return {number.value_or(0), host};
}

}  // namespace

std::string HostOfStream(std::string_view stream) {
  std::string_view host = stream.substr(stream.rfind('/') + 1);
  // The last part is the stream's own number; a name without one is the host itself.
  size_t dash = host.rfind('-');
  if (dash != std::string_view::npos && host.find('-') != dash && ParseInt(host.substr(dash + 1))) {
    host = host.substr(0, dash);
  }
  return std::string(host);
}

LogFollower::LogFollower(Transport& transport, LogSource source, std::optional<int64_t> hosts, LogSelection selection)
    : transport_(transport), source_(std::move(source)), hosts_(hosts), selection_(std::move(selection)) {}

Result<void> LogFollower::DiscoverStreams() {
  std::optional<int64_t> expected = selection_.host.empty() ? hosts_ : 1;
  if (expected && std::ssize(streams_) >= *expected) return {};
  TRY(std::vector<std::string> names, ListLogStreams(transport_, source_));
  for (std::string& name : names) {
    std::string host = HostOfStream(name);
    if (!selection_.host.empty() && host != selection_.host) continue;
    bool known = std::ranges::any_of(streams_, [&](const Stream& stream) { return stream.name == name; });
    if (!known) streams_.push_back({.name = std::move(name), .host = std::move(host)});
  }
  std::ranges::sort(streams_, {}, [](const Stream& stream) { return HostOrder(stream.host); });
  return {};
}

// Afterwards every stream has a line in its buffer or is drained: only then is the earliest head the next in time.
Result<void> LogFollower::FillBuffers() {
  for (Stream& stream : streams_) {
    if (!stream.buffer.empty() || stream.drained) continue;
    TRY(LogPage page, ReadLog(transport_, source_.group, stream.name, stream.token, selection_.since_ms));
    stream.drained = page.events.empty();
    stream.token = std::move(page.forward_token);
    for (LogEvent& event : page.events) stream.buffer.push_back(std::move(event));
  }
  return {};
}

LogFollower::Stream* LogFollower::Earliest() {
  Stream* earliest = nullptr;
  for (Stream& stream : streams_) {
    if (stream.buffer.empty()) continue;
    if (!earliest || stream.buffer.front().timestamp_ms < earliest->buffer.front().timestamp_ms) earliest = &stream;
  }
  return earliest;
}

Result<void> LogFollower::Poll(const Sink& sink) {
  TRYV(DiscoverStreams());
  for (Stream& stream : streams_) stream.drained = false;
  while (true) {
    TRYV(FillBuffers());
    Stream* stream = Earliest();
    if (!stream) return {};
    LogEvent event = std::move(stream->buffer.front());
    stream->buffer.pop_front();
    sink({.host = stream->host, .timestamp_ms = event.timestamp_ms, .text = std::move(event.message)});
  }
}

}  // namespace sagebrush::client
