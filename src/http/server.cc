#include "http/server.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <future>

#include "base/check.h"
#include "base/log.h"
#include "http/listener.h"
#include "http/response_writer.h"
#include "http/server_core.h"

namespace sagebrush::http {
namespace {

constexpr auto kToken = asio::as_tuple(asio::use_awaitable);
constexpr Millis kAcceptPause{100};

// The numeric address of one end; "" for Unix sockets. IPv4 inside IPv6 is written as IPv4.
std::string AddressOf(int fd, decltype(&::getsockname) get) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (get(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return {};
  char text[INET6_ADDRSTRLEN] = "";
  if (storage.ss_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in*>(&storage)->sin_addr, text, sizeof text);
  } else if (storage.ss_family == AF_INET6) {
    const in6_addr& v6 = reinterpret_cast<sockaddr_in6*>(&storage)->sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&v6)) {
      inet_ntop(AF_INET, &v6.s6_addr[12], text, sizeof text);
    } else {
      inet_ntop(AF_INET6, &v6, text, sizeof text);
    }
  }
  return text;
}

}  // namespace

Result<void> ServerCore::Bind() {
  std::vector<std::pair<Listener, bool>> listeners;
  std::vector<uint16_t> ports;
  for (const TcpEndpoint& endpoint : options.tcp) {
    TRY(Listener listener, ListenTcp(endpoint.address, endpoint.port));
    ports.push_back(listener.port);
    listeners.emplace_back(std::move(listener), false);
  }
  if (!options.unix_socket.empty()) {
    TRY(Listener listener, ListenUnix(options.unix_socket));
    listeners.emplace_back(std::move(listener), true);
  }
  tcp_ports = std::move(ports);
  for (auto& [listener, local] : listeners) {
    asio::generic::stream_protocol protocol(listener.family, local ? 0 : IPPROTO_TCP);
    acceptors.emplace_back(strand, protocol, listener.socket.Release());
  }
  return {};
}

void ServerCore::Spawn() {
  live = acceptors.size();
  for (Acceptor& acceptor : acceptors) {
    bool local = acceptor.local_endpoint().protocol().family() == AF_UNIX;
    asio::co_spawn(strand, Accept(acceptor, local),
                   asio::bind_executor(strand, [self = shared_from_this()](std::exception_ptr) { self->Ended(); }));
  }
}

asio::awaitable<void> ServerCore::Accept(Acceptor& acceptor, bool local) {
  asio::steady_timer pause(strand);
  while (!stopping) {
    io::EventLoops::Place place{.executor = {}, .lease = {}};
    if (options.loops != nullptr) place = options.loops->Take();
    Transport::Socket socket(options.loops != nullptr ? place.executor
                                                      : asio::any_io_executor(asio::make_strand(runtime.context())));
    auto [ec] = co_await acceptor.async_accept(socket, kToken);
    if (stopping) break;
    if (!ec) {
      Admit(std::move(socket), local, std::move(place.lease));
      continue;
    }
    if (ec == asio::error::operation_aborted) break;
    // Most likely out of descriptors: connections wait in the backlog while others end.
    Log(LogLevel::kWarning, "accept_failed", {{"error", ec.message()}});
    pause.expires_after(kAcceptPause);
    co_await pause.async_wait(kToken);
  }
}

void ServerCore::Admit(Transport::Socket socket, bool local, std::shared_ptr<void> lease) {
  int fd = socket.native_handle();
  if (connections.size() >= options.max_connections) {
    std::string refusal = PlainErrorResponse(503, "The server has as many connections as it allows; try again.", "");
    ::send(fd, refusal.data(), refusal.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return;
  }
  Connection::Peer peer{.local = local};
  if (!local) {
    int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    std::string from = AddressOf(fd, &::getpeername);
    peer.loopback = from == "::1" || from.starts_with("127.");
    peer.local_address = AddressOf(fd, &::getsockname);
  }
  auto connection =
      std::make_shared<Connection>(shared_from_this(), std::move(socket), std::move(peer), std::move(lease));
  connections.insert(connection);
  ++live;
  ++open;
  asio::co_spawn(connection->executor(), connection->Run(),
                 asio::bind_cancellation_slot(
                     connection->cancellation().slot(),
                     asio::bind_executor(strand, [self = shared_from_this(), connection](std::exception_ptr) {
                       self->connections.erase(connection);
                       --self->open;
                       self->Ended();
                     })));
}

void ServerCore::Ended() {
  if (--live == 0) drained.cancel();
}

asio::awaitable<void> ServerCore::Stop(std::chrono::milliseconds grace) {
  stopping = true;
  boost::system::error_code ignored;
  for (Acceptor& acceptor : acceptors) acceptor.close(ignored);
  if (!options.unix_socket.empty() && !stopped) ::unlink(options.unix_socket.c_str());
  for (const auto& connection : connections) connection->AbandonIfIdle();
  auto end = std::chrono::steady_clock::now() + grace;
  while (live > 0 && std::chrono::steady_clock::now() < end) {
    drained.expires_at(end);
    co_await drained.async_wait(kToken);
  }
  if (live > 0) Log(LogLevel::kWarning, "requests_cancelled_at_stop", {{"connections", connections.size()}});
  for (const auto& connection : connections) connection->Abandon();
  while (live > 0) {
    drained.expires_at(std::chrono::steady_clock::time_point::max());
    co_await drained.async_wait(kToken);
  }
  stopped = true;
}

Server::Server(io::Runtime& runtime, ServerOptions options, Handler handler)
    : core_(std::make_shared<ServerCore>(runtime, std::move(options), std::move(handler))) {}

Server::~Server() { CHECK(!core_->started || core_->stopped); }

Result<void> Server::Start() {
  CHECK(!core_->started);
  TRYV(core_->Bind());
  core_->started = true;
  core_->Spawn();
  return {};
}

const std::vector<uint16_t>& Server::tcp_ports() const { return core_->tcp_ports; }
size_t Server::open_connections() const { return core_->open; }

asio::awaitable<void> Server::Stop(std::chrono::milliseconds grace) {
  if (!core_->started || core_->stopped) co_return;
  co_await asio::co_spawn(core_->executor(), core_->Stop(grace), asio::use_awaitable);
}

void Server::StopAndWait(std::chrono::milliseconds grace) {
  if (!core_->started || core_->stopped) return;
  asio::co_spawn(core_->executor(), core_->Stop(grace), asio::use_future).get();
}

}  // namespace sagebrush::http
