#include "agent/engine_proxy.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace sagebrush::agent {
namespace {

constexpr size_t kMaxConnections = 256;
constexpr size_t kBufferBytes = 64 * 1024;
constexpr size_t kMaxRequestLineBytes = 16 * 1024;
constexpr char kRefusal[] =
    "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 65\r\nConnection: close\r\n\r\n"
    "This job has network isolation: it reaches the engine alone here.";
static_assert(sizeof "This job has network isolation: it reaches the engine alone here." - 1 == 65);
constexpr char kUnavailable[] =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n";

void SendBestEffort(int fd, std::string_view text) {
  [[maybe_unused]] ssize_t sent = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace

EngineProxy::EngineProxy(io::UniqueFd listener, std::filesystem::path engine_socket, bool isolated)
    : listener_(std::move(listener)), engine_socket_(std::move(engine_socket)), isolated_(isolated) {}

void EngineProxy::AddTo(std::vector<pollfd>& waiting) const {
  waiting.push_back({listener_.get(), static_cast<short>(connections_.size() < kMaxConnections ? POLLIN : 0), 0});
  for (const Connection& connection : connections_) {
    auto events = [](const Direction& in, const Direction& out) {
      return static_cast<short>((!in.source_ended && in.pending.size() < kBufferBytes ? POLLIN : 0) |
                                (!out.pending.empty() ? POLLOUT : 0));
    };
    short inside = events(connection.up, connection.down);
    short engine = connection.head_checked ? events(connection.down, connection.up)
                                           : static_cast<short>(connection.down.source_ended ? 0 : POLLIN);
    // A side with nothing to do is left out, or its hang-up would wake the loop for ever.
    waiting.push_back({inside != 0 ? connection.inside.get() : -1, inside, 0});
    waiting.push_back({engine != 0 ? connection.engine.get() : -1, engine, 0});
  }
}

void EngineProxy::Serve(const pollfd* entries, size_t count) {
  size_t at = 1;
  for (auto it = connections_.begin(); it != connections_.end() && at + 1 < count; at += 2) {
    Connection& connection = *it;
    if ((entries[at].revents | entries[at + 1].revents) != 0) {
      Move(connection, entries[at].revents, entries[at + 1].revents);
    }
    bool done = connection.broken || (connection.up.ended && connection.down.ended);
    it = done ? connections_.erase(it) : std::next(it);
  }
  if (count > 0 && (entries[0].revents & POLLIN) != 0) Accept();
}

void EngineProxy::Accept() {
  while (connections_.size() < kMaxConnections) {
    io::UniqueFd inside(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!inside) return;
    io::UniqueFd engine = ConnectToEngine();
    if (!engine) {
      SendBestEffort(inside.get(), kUnavailable);
      continue;
    }
    Connection& connection = connections_.emplace_back();
    connection.inside = std::move(inside);
    connection.engine = std::move(engine);
    connection.head_checked = !isolated_;
  }
}

io::UniqueFd EngineProxy::ConnectToEngine() const {
  // By way of its directory, since a socket's address holds 107 characters only.
  io::UniqueFd directory(::open(engine_socket_.parent_path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  io::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!directory || !fd) return {};
  std::string path = "/proc/self/fd/" + std::to_string(directory.get()) + "/" + engine_socket_.filename().native();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return {};
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  // Blocking would stall the log; a local listener either has room or is overloaded.
  ::fcntl(fd.get(), F_SETFL, O_NONBLOCK);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return {};
  return fd;
}

void EngineProxy::CheckHead(Connection& connection) const {
  std::string& head = connection.up.pending;
  // A TLS handshake is with the engine itself, which is nobody's proxy under TLS.
  if (head.starts_with('\x16')) connection.head_checked = true;
  if (connection.head_checked) return;
  size_t end = head.find('\n');
  if (end == std::string::npos && head.size() < kMaxRequestLineBytes && !connection.up.source_ended) return;
  // METHOD SP origin-form SP version CR LF
  size_t space = head.find(' ');
  bool passes = end != std::string::npos && end > 0 && head[end - 1] == '\r' && space != std::string::npos &&
                space + 1 < end && head[space + 1] == '/' && head.substr(0, space) != "CONNECT";
  if (!passes) {
    SendBestEffort(connection.inside.get(), kRefusal);
    connection.broken = true;
    return;
  }
  head.insert(end + 1, "Connection: close\r\n");
  connection.head_checked = true;
}

// Reads into, and writes out, one direction. False when a side is broken.
bool EngineProxy::Pump(int from, int to, Direction& direction, bool readable, bool hold) {
  char bytes[kBufferBytes];
  if (readable && !direction.source_ended && direction.pending.size() < kBufferBytes) {
    ssize_t got = ::recv(from, bytes, sizeof bytes - direction.pending.size(), MSG_DONTWAIT);
    if (got == 0) direction.source_ended = true;
    if (got < 0 && errno != EAGAIN && errno != EINTR) return false;
    if (got > 0) direction.pending.append(bytes, static_cast<size_t>(got));
  }
  if (hold) return true;
  if (!direction.pending.empty()) {
    ssize_t sent = ::send(to, direction.pending.data(), direction.pending.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) return false;
    if (sent > 0) direction.pending.erase(0, static_cast<size_t>(sent));
  }
  if (direction.source_ended && direction.pending.empty() && !direction.ended) {
    ::shutdown(to, SHUT_WR);
    direction.ended = true;
  }
  return true;
}

void EngineProxy::Move(Connection& connection, short inside_events, short engine_events) const {
  constexpr short kReadable = POLLIN | POLLHUP | POLLERR;
  int inside = connection.inside.get(), engine = connection.engine.get();
  if (!Pump(inside, engine, connection.up, (inside_events & kReadable) != 0, !connection.head_checked)) {
    connection.broken = true;
    return;
  }
  if (!connection.head_checked) {
    CheckHead(connection);
    if (connection.broken || !connection.head_checked) return;
    if (!Pump(inside, engine, connection.up, false, false)) connection.broken = true;
  }
  if (!Pump(engine, inside, connection.down, (engine_events & kReadable) != 0, false)) connection.broken = true;
}

}  // namespace sagebrush::agent
