#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "io/runtime.h"

struct ssl_ctx_st;

namespace sagebrush::http {

namespace asio = boost::asio;
using Millis = std::chrono::milliseconds;

// One connected stream socket (TCP or Unix), plain at first and TLS after StartTls. Used on its executor (a strand)
// only. Every operation runs against one deadline per connection, set by ExpireAfter before it: when that passes, the
// operations in progress fail with kDeadlineExceeded and the socket stays usable (to say "408", say).
class Transport : public std::enable_shared_from_this<Transport> {
 public:
  using Socket = asio::generic::stream_protocol::socket;
  explicit Transport(Socket socket);
  ~Transport();
  Transport(const Transport&) = delete;

  void ExpireAfter(Millis duration);

  // The server's side of a handshake; `received` is what was already read of it. `default_host` names the
  // certificate when the client names no server.
  asio::awaitable<Result<void>> StartTls(ssl_ctx_st* context, std::string default_host, std::string received);
  bool tls() const { return tls_ != nullptr; }

  // At least one byte; 0 at the end of the stream.
  asio::awaitable<Result<size_t>> ReadSome(char* data, size_t size);
  // Some of a, then of b; at least one byte.
  asio::awaitable<Result<size_t>> WriteSome(std::string_view a, std::string_view b);
  // All of a and b, with `stall` as the deadline of each step forward.
  asio::awaitable<Result<void>> Write(std::string_view a, std::string_view b, Millis stall);
  // Part of a file: sendfile(2) on the blocking pool while plain, reads there and writes here under TLS.
  asio::awaitable<Result<void>> SendFile(io::Runtime& runtime, int file, uint64_t offset, uint64_t length,
                                         Millis stall);

  // Says to the peer that no more bytes come. Under TLS this waits, within the deadline, for the peer to agree.
  asio::awaitable<void> ShutdownWrite(Millis deadline);
  // Whether the peer has closed its side and nothing it sent is left to be read. From any thread.
  bool PeerGone();
  // Ends the operations in progress with kCancelled.
  void Cancel();
  // Cancel, and let every later operation fail. The descriptor stays open until destruction, as the blocking pool may
  // be using it.
  void Abort();
  Socket& socket() { return socket_; }

 private:
  struct Tls;
  void Arm();
  void OnTimer();
  Error Describe(const boost::system::error_code& ec, std::string_view what) const;
  asio::awaitable<Result<void>> SendFilePlain(io::Runtime& runtime, int file, uint64_t offset, uint64_t length,
                                              Millis stall);

  Socket socket_;
  std::unique_ptr<Tls> tls_;
  asio::steady_timer timer_;
  std::chrono::steady_clock::time_point due_, armed_for_;
  bool armed_ = false, expired_ = false;
};

}  // namespace sagebrush::http
