#pragma once

#include <atomic>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <list>
#include <memory>
#include <set>
#include <string>

#include "http/parser.h"
#include "http/server.h"
#include "http/target.h"
#include "http/transport.h"

namespace sagebrush::http {

class ServerCore;
class MessageBody;

// One accepted connection: reads requests, answers them, until either side ends it. Everything but Start, AbandonIfIdle
// and Abandon runs on the connection's executor: a strand, or an event loop of one thread.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  struct Peer {
    bool local = false;     // over the Unix socket
    bool loopback = false;  // TCP from this machine
    std::string local_address;
  };
  Connection(std::shared_ptr<ServerCore> core, Transport::Socket socket, Peer peer, std::shared_ptr<void> lease);
  ~Connection();

  asio::awaitable<void> Run();
  // From any thread: end the connection if it is between requests, or in any case.
  void AbandonIfIdle();
  void Abandon();
  asio::any_io_executor executor() { return transport_->socket().get_executor(); }
  asio::cancellation_signal& cancellation() { return cancellation_; }

 private:
  enum class Next { kKeepAlive, kClose };
  // What a parsed head asks for.
  struct Incoming {
    Request request;
    Target target;
    bool keep_alive = true;
    int minor_version = 1;
  };

  asio::awaitable<void> Serve();
  asio::awaitable<bool> BecomeTls(std::string default_host);
  asio::awaitable<bool> WaitForRequest();  // false: the connection ends quietly
  asio::awaitable<std::expected<void, HttpFailure>> ReadHead(MessageParser& parser);
  asio::awaitable<Next> Answer(MessageParser parser);
  asio::awaitable<Next> Dispatch(Incoming incoming, MessageBody& body);
  asio::awaitable<Response> CallHandler(Request& request);
  asio::awaitable<Next> FinishBody(MessageBody& body, bool keep_alive);
  asio::awaitable<Next> Refuse(HttpFailure failure);
  asio::awaitable<void> Linger();
  std::expected<Incoming, HttpFailure> Interpret(MessageHead& head) const;

  // proxy.cc
  asio::awaitable<Next> HandleConnect(MessageHead head);
  asio::awaitable<Next> Intercept(HostPort target);
  asio::awaitable<Next> Tunnel(HostPort target, ProxyDecision decision);
  asio::awaitable<Next> Forward(Incoming incoming, ProxyDecision decision, MessageBody& body);
  ProxyDecision Decide(const HostPort& target) const;
  bool IsSelf(const HostPort& target) const;

  std::shared_ptr<ServerCore> core_;
  std::shared_ptr<void> lease_;  // of its place among event loops; may be null
  std::shared_ptr<Transport> transport_;
  Peer peer_;
  asio::cancellation_signal cancellation_;
  std::string buffer_;            // bytes read and not yet parsed
  std::string request_id_;        // of the request in progress
  std::string intercepted_host_;  // after an intercepted CONNECT
  bool idle_ = false;
  bool tunnelling_ = false;
  bool abandoned_ = false, ended_ = false;
};

// What the server and its connections share. `live` and `connections` belong to the strand.
class ServerCore : public std::enable_shared_from_this<ServerCore> {
 public:
  using Acceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol>;
  using Strand = asio::strand<asio::io_context::executor_type>;

  ServerCore(io::Runtime& runtime, ServerOptions options, Handler handler)
      : runtime(runtime),
        options(std::move(options)),
        handler(std::move(handler)),
        strand(asio::make_strand(runtime.context())),
        drained(strand) {}

  Result<void> Bind();
  void Spawn();
  asio::any_io_executor executor() { return strand; }
  asio::awaitable<void> Stop(std::chrono::milliseconds grace);

  io::Runtime& runtime;
  const ServerOptions options;
  const Handler handler;
  std::atomic<bool> stopping = false;
  std::atomic<size_t> open = 0;
  std::vector<uint16_t> tcp_ports;
  bool started = false;
  std::atomic<bool> stopped = false;

 private:
  asio::awaitable<void> Accept(Acceptor& acceptor, bool local);
  void Admit(Transport::Socket socket, bool local, std::shared_ptr<void> lease);
  void Ended();

  Strand strand;
  asio::steady_timer drained;  // cancelled when live falls to 0
  size_t live = 0;             // coroutines: accept loops and connections
  std::list<Acceptor> acceptors;
  std::set<std::shared_ptr<Connection>> connections;
};

}  // namespace sagebrush::http
