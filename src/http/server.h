#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "http/certificate_authority.h"
#include "http/connect_policy.h"
#include "http/message.h"
#include "io/event_loops.h"
#include "io/runtime.h"

namespace sagebrush::http {

struct TcpEndpoint {
  std::string address = "127.0.0.1";  // a literal IPv4 or IPv6 address
  uint16_t port = 0;                  // 0: any free one, see Server::tcp_ports()
};

struct ServerOptions {
  std::vector<TcpEndpoint> tcp;
  // A Unix socket, mode 0666: programs in instances reach the engine through it, and every request is checked by its
  // signature all the same. "" for none. A socket file left by an engine that died is replaced; a live one is not.
  std::filesystem::path unix_socket;
  std::string unix_host = "localhost";  // where its clients believe to be, for the certificate

  size_t header_bytes = 64 * 1024;
  std::chrono::milliseconds header_deadline{20'000};     // first byte of a request to the end of its head, and TLS
  std::chrono::milliseconds idle_deadline{75'000};       // between requests
  std::chrono::milliseconds stall_deadline{60'000};      // a body, in either direction, must move within this
  std::chrono::milliseconds connect_deadline{15'000};    // to reach a host as a proxy
  std::chrono::milliseconds upstream_deadline{300'000};  // for the answer to a forwarded request to begin
  std::chrono::milliseconds tunnel_idle_deadline{3'600'000};
  std::chrono::milliseconds linger_deadline{5'000};  // to let a client read an answer that came before its body's end
  size_t max_connections = 4096;
  uint64_t drain_bytes = 1024 * 1024;  // of an unread request body, to keep the connection

  // Where connections run: each on one of these, or (null) on a strand of the runtime's threads. Outlives the server.
  io::EventLoops* loops = nullptr;

  CertificateAuthority* authority = nullptr;  // null: TLS and interception are refused. Outlives the server.
  ConnectPolicy policy = DefaultConnectPolicy;
};

// The engine's HTTP/1.1 front. One port speaks plain HTTP, TLS (told by its first byte), CONNECT and plain-HTTP proxy
// requests. Each connection is a coroutine on an executor of its own; each request calls the handler there, one at a
// time per connection, so pipelined requests are answered in order.
//
// The handler may run on any of the runtime's threads, must not block, and may be cancelled (its next co_await throws
// operation_aborted) when Stop's grace period ends. An exception it throws otherwise becomes a 500.
//
// States: made → Start → serving → Stop → stopped. After Stop has returned no coroutine, timer or callback of the
// server is left. Stop before the runtime ends; the destructor of a server that serves aborts the process.
class Server {
 public:
  Server(io::Runtime& runtime, ServerOptions options, Handler handler);
  ~Server();
  Server(const Server&) = delete;

  // Binds, listens and begins to accept. Nothing stays bound after an error.
  Result<void> Start();
  // The ports of options.tcp, in order, as bound.
  const std::vector<uint16_t>& tcp_ports() const;

  // Stops accepting, closes idle connections, lets requests in flight end within `grace`, then cancels them, and
  // waits until all have ended. Tunnels are cancelled at once. Idempotent.
  asio::awaitable<void> Stop(std::chrono::milliseconds grace);
  // The same from a thread that is not the runtime's.
  void StopAndWait(std::chrono::milliseconds grace);

  size_t open_connections() const;

 private:
  std::shared_ptr<class ServerCore> core_;
};

}  // namespace sagebrush::http
