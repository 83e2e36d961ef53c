// The proxy side of a connection: CONNECT (intercepted or tunnelled) and plain-HTTP requests for other hosts.
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>

#include "base/text.h"
#include "http/body.h"
#include "http/response_writer.h"
#include "http/server_core.h"
#include "http/upstream.h"

namespace sagebrush::http {
namespace {

using boost::asio::ip::tcp;
constexpr auto kToken = asio::as_tuple(asio::use_awaitable);
constexpr size_t kCopyStep = 64 * 1024;
constexpr std::string_view kEstablished = "HTTP/1.1 200 Connection established\r\n\r\n";

bool IsNearby(asio::ip::address address) {
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    address = asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
  }
  if (address.is_loopback() || address.is_unspecified()) return true;
  if (address.is_v6()) return address.to_v6().is_link_local();
  auto bytes = address.to_v4().to_bytes();
  return bytes[0] == 0 || (bytes[0] == 169 && bytes[1] == 254);
}

// getaddrinfo cannot be interrupted, and takes as long as the name servers and resolv.conf let it. (Asio's resolver
// would have its event loop wait for it at the end.) When the deadline or a cancellation comes first, it ends on its
// own thread in its own time and fills this, which nobody else holds any more.
struct Lookup {
  std::mutex mutex;
  std::move_only_function<void()> tell;  // the coroutine that waits; empty when it does no more. All guarded by mutex.
  bool ended = false;
  int error = 0;
  std::vector<tcp::endpoint> found;
};

constexpr int kMostLookups = 64;
std::atomic<int> lookups_under_way = 0;

void LookUp(const std::shared_ptr<Lookup>& lookup, const HostPort& target) {
  addrinfo hints{};
  hints.ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* all = nullptr;
  int error = ::getaddrinfo(target.host.c_str(), std::to_string(target.port).c_str(), &hints, &all);
  std::lock_guard lock(lookup->mutex);
  lookup->ended = true;
  lookup->error = error;
  for (addrinfo* entry = all; entry != nullptr; entry = entry->ai_next) {
    tcp::endpoint& endpoint = lookup->found.emplace_back();
    if (entry->ai_addrlen > endpoint.capacity()) continue;
    std::memcpy(endpoint.data(), entry->ai_addr, entry->ai_addrlen);
    endpoint.resize(entry->ai_addrlen);
  }
  if (all != nullptr) ::freeaddrinfo(all);
  if (lookup->tell) lookup->tell();
  --lookups_under_way;
}

// Begins a look-up. Whoever holds what this returns is woken by the timer's cancellation, on its own executor.
std::shared_ptr<Lookup> BeginLookup(const std::shared_ptr<asio::steady_timer>& timer, HostPort target) {
  auto begun = std::make_shared<Lookup>();
  begun->tell = [executor = timer->get_executor(), weak = std::weak_ptr(timer)] {
    asio::post(executor, [weak] {
      if (auto waiting = weak.lock()) waiting->cancel();
    });
  };
  io::RunUnawaited([begun, target = std::move(target)] { LookUp(begun, target); });
  // The executor may be gone once the last of these is.
  return {begun.get(), [begun](Lookup* lookup) {
            std::lock_guard lock(lookup->mutex);
            lookup->tell = nullptr;
          }};
}

asio::awaitable<Result<std::vector<tcp::endpoint>>> Resolve(HostPort target, Millis deadline) {
  boost::system::error_code ec;
  std::vector<tcp::endpoint> found;
  asio::ip::address literal = asio::ip::make_address(target.host, ec);
  if (!ec) {
    found.emplace_back(literal, target.port);
    co_return found;
  }
  std::string name = "the name '" + target.host + "' could not be looked up";
  if (++lookups_under_way > kMostLookups) {
    --lookups_under_way;
    co_return Fail(Error(ErrorKind::kUnavailable, name + ": too many others are being looked up"));
  }
  auto timer = std::make_shared<asio::steady_timer>(co_await asio::this_coro::executor, deadline);
  std::shared_ptr<Lookup> lookup = BeginLookup(timer, target);
  co_await timer->async_wait(kToken);
  std::lock_guard lock(lookup->mutex);
  if (!lookup->ended) co_return Fail(Error(ErrorKind::kDeadlineExceeded, name + " in time"));
  if (lookup->error != 0) co_return Fail(Error(ErrorKind::kUnavailable, name + ": " + ::gai_strerror(lookup->error)));
  co_return std::move(lookup->found);
}

// A connection to the target; kPermissionDenied when it has only addresses that are not allowed.
asio::awaitable<Result<std::shared_ptr<Transport>>> Dial(HostPort target, bool allow_loopback, Millis deadline) {
  auto end = std::chrono::steady_clock::now() + deadline;
  CO_TRY(std::vector<tcp::endpoint> endpoints, co_await Resolve(target, deadline));
  if (!allow_loopback) std::erase_if(endpoints, [](const tcp::endpoint& e) { return IsNearby(e.address()); });
  if (endpoints.empty()) {
    co_return Fail(Error(ErrorKind::kPermissionDenied,
                         "'" + target.host + "' is this machine itself or its link, which is not reached from here"));
  }
  std::string reason = "no time left";
  auto executor = co_await asio::this_coro::executor;
  for (const tcp::endpoint& endpoint : endpoints) {
    auto left = std::chrono::duration_cast<Millis>(end - std::chrono::steady_clock::now());
    if (left <= Millis(0)) break;
    auto upstream = std::make_shared<Transport>(Transport::Socket(executor));
    upstream->ExpireAfter(left);
    auto [ec] = co_await upstream->socket().async_connect(endpoint, kToken);
    if (!ec) co_return upstream;
    reason = ec == asio::error::operation_aborted ? "no answer within the deadline" : ec.message();
  }
  co_return Fail(Error(ErrorKind::kUnavailable,
                       "cannot connect to " + target.host + " port " + std::to_string(target.port) + ": " + reason));
}

HttpFailure DialFailure(const Error& error) {
  return {error.kind == ErrorKind::kPermissionDenied ? 403 : 502, "As a proxy: " + error.message + "."};
}

// Copies one direction until its end, then passes the end on. Both transports expire only when neither direction moves.
asio::awaitable<void> Pump(std::shared_ptr<Transport> from, std::shared_ptr<Transport> to, Millis idle,
                           std::string pending) {
  std::string space(kCopyStep, '\0');
  std::string_view waiting = pending;
  while (true) {
    while (!waiting.empty()) {
      Result<size_t> sent = co_await to->WriteSome(waiting, {});
      if (!sent) {
        from->Abort();
        to->Abort();
        co_return;
      }
      waiting.remove_prefix(*sent);
    }
    from->ExpireAfter(idle);
    to->ExpireAfter(idle);
    Result<size_t> got = co_await from->ReadSome(space.data(), space.size());
    if (!got) {
      from->Abort();
      to->Abort();
      co_return;
    }
    if (*got == 0) co_return co_await to->ShutdownWrite(idle);
    from->ExpireAfter(idle);
    to->ExpireAfter(idle);
    waiting = std::string_view(space).substr(0, *got);
  }
}

// Fields that belong to one hop (RFC 9110 7.6.1), and those that the forwarder sets anew.
bool IsHopField(const Headers& headers, std::string_view name) {
  for (std::string_view hop : {"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate",
                               "Proxy-Authorization", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "Expect"}) {
    if (EqualsIgnoreCase(name, hop)) return true;
  }
  for (const auto& [field, value] : headers) {
    if (!EqualsIgnoreCase(field, "Connection")) continue;
    for (std::string_view named : Split(value, ',')) {
      if (EqualsIgnoreCase(Trim(named), name)) return true;
    }
  }
  return false;
}

void AppendFields(std::string& head, const Headers& headers, bool keep_length) {
  for (const auto& [name, value] : headers) {
    if (IsHopField(headers, name) || EqualsIgnoreCase(name, "Host")) continue;
    if (!keep_length && EqualsIgnoreCase(name, "Content-Length")) continue;
    head.append(name).append(": ").append(SafeFieldValue(value)).append("\r\n");
  }
}

}  // namespace

ProxyDecision Connection::Decide(const HostPort& target) const {
  return core_->options.policy(
      {.host = target.host, .port = target.port, .local = peer_.local, .peer_loopback = peer_.loopback});
}

// Requests for our own address through ourselves as a proxy need no second connection.
bool Connection::IsSelf(const HostPort& target) const {
  bool own_port = std::ranges::find(core_->tcp_ports, target.port) != core_->tcp_ports.end();
  bool own_host = target.host == "localhost" || target.host == "::1" || target.host == "127.0.0.1" ||
                  (!peer_.local_address.empty() && target.host == peer_.local_address);
  return own_port && own_host;
}

asio::awaitable<Connection::Next> Connection::HandleConnect(MessageHead head) {
  if (transport_->tls()) co_return co_await Refuse({400, "CONNECT is understood on plain connections only."});
  if (head.chunked || head.content_length.value_or(0) > 0) co_return co_await Refuse({400, "CONNECT has no body."});
  std::optional<HostPort> target = ParseAuthority(head.target, 0);
  if (!target) co_return co_await Refuse({400, "CONNECT names a target as host:port."});
  ProxyDecision decision = Decide(*target);
  switch (decision.action) {
    case ProxyDecision::Action::kRefuse:
      co_return co_await Refuse({403, decision.reason});
    case ProxyDecision::Action::kIntercept:
      co_return co_await Intercept(*std::move(target));
    case ProxyDecision::Action::kTunnel:
      break;
  }
  co_return co_await Tunnel(*std::move(target), std::move(decision));
}

asio::awaitable<Connection::Next> Connection::Intercept(HostPort target) {
  if (core_->options.authority == nullptr) {
    co_return co_await Refuse({501, "This server has no certificate authority, so it cannot answer for other hosts."});
  }
  Result<void> sent = co_await transport_->Write(kEstablished, {}, core_->options.stall_deadline);
  if (!sent || !co_await WaitForRequest()) co_return Next::kClose;
  // Port 80 through CONNECT is plain HTTP.
  if (buffer_[0] != 0x16) co_return Next::kKeepAlive;
  bool secured = co_await BecomeTls(std::move(target.host));
  co_return secured ? Next::kKeepAlive : Next::kClose;
}

asio::awaitable<Connection::Next> Connection::Tunnel(HostPort target, ProxyDecision decision) {
  auto upstream = co_await Dial(target, decision.allow_loopback, core_->options.connect_deadline);
  if (!upstream) co_return co_await Refuse(DialFailure(upstream.error()));
  Result<void> sent = co_await transport_->Write(kEstablished, {}, core_->options.stall_deadline);
  if (!sent) co_return Next::kClose;
  Millis idle = core_->options.tunnel_idle_deadline;
  std::shared_ptr<Transport> server = *upstream;
  tunnelling_ = true;
  if (core_->stopping) co_return Next::kClose;
  using namespace asio::experimental::awaitable_operators;
  asio::awaitable<void> up = Pump(transport_, server, idle, std::exchange(buffer_, {}));
  asio::awaitable<void> down = Pump(server, transport_, idle, std::string());
  co_await (std::move(up) && std::move(down));
  tunnelling_ = false;
  co_return Next::kClose;
}

asio::awaitable<Connection::Next> Connection::Forward(Incoming incoming, ProxyDecision decision, MessageBody& body) {
  const ServerOptions& options = core_->options;
  HostPort target = *incoming.target.authority;
  auto dialled = co_await Dial(target, decision.allow_loopback, options.connect_deadline);
  if (!dialled) co_return co_await Refuse(DialFailure(dialled.error()));
  std::shared_ptr<Transport> upstream = *dialled;

  const Request& request = incoming.request;
  bool chunked_request = !body.length().has_value();
  bool v6 = target.host.contains(':');
  std::string head = request.method + " " + request.target + " HTTP/1.1\r\nHost: " + (v6 ? "[" : "") + target.host +
                     (v6 ? "]" : "") + (target.port == 80 ? "" : ":" + std::to_string(target.port)) + "\r\n";
  AppendFields(head, request.headers, !chunked_request);
  head += chunked_request ? "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" : "Connection: close\r\n\r\n";
  Result<void> uploaded = co_await upstream->Write(head, {}, options.stall_deadline);
  if (uploaded) uploaded = co_await CopyBody(body, *upstream, chunked_request, options.stall_deadline);
  if (body.failed()) co_return Next::kClose;

  // A server may answer and close before it has read the whole body, so a failed upload is no reason not to look.
  std::string upstream_buffer;
  auto answer = co_await ReadResponseHead(*upstream, upstream_buffer, options.header_bytes, options.upstream_deadline);
  if (!answer) co_return co_await Refuse({502, "As a proxy: " + answer.error().message + "."});
  MessageHead reply = answer->head();
  bool has_body = request.method != "HEAD" && reply.status != 204 && reply.status != 304;
  bool until_eof = has_body && !reply.chunked && !reply.content_length;
  bool chunk = has_body && !reply.content_length && incoming.minor_version >= 1;
  bool keep_alive =
      incoming.keep_alive && body.finished() && !core_->stopping && (!has_body || reply.content_length || chunk);
  std::string reply_head = "HTTP/1.1 " + std::to_string(reply.status) + " " + SafeFieldValue(reply.reason) + "\r\n";
  AppendFields(reply_head, reply.headers, !chunk);
  if (chunk) reply_head += "Transfer-Encoding: chunked\r\n";
  reply_head += keep_alive ? (incoming.minor_version == 0 ? "Connection: keep-alive\r\n\r\n" : "\r\n")
                           : "Connection: close\r\n\r\n";
  Result<void> sent = co_await transport_->Write(reply_head, {}, options.stall_deadline);
  if (sent && has_body) {
    MessageBody reply_body(*upstream, upstream_buffer, std::move(*answer), options.stall_deadline, until_eof);
    sent = co_await CopyBody(reply_body, *transport_, chunk, options.stall_deadline);
  }
  if (!sent) co_return Next::kClose;
  co_return co_await FinishBody(body, keep_alive);
}

}  // namespace sagebrush::http
