#include "http/transport.h"

#include <signal.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "http/certificate_authority.h"
#include "io/file.h"

namespace sagebrush::http {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kToken = asio::as_tuple(asio::use_awaitable);
constexpr auto kNever = Clock::time_point::max();
constexpr size_t kTlsFileStep = 256 * 1024;
constexpr size_t kSendfileStep = 8 * 1024 * 1024;

// The SSL_CTX is the authority's: take a reference of our own, as asio's wrapper frees one.
asio::ssl::context Shared(SSL_CTX* context) {
  SSL_CTX_up_ref(context);
  return asio::ssl::context(context);
}

struct Sent {
  size_t bytes = 0;
  int error = 0;  // EAGAIN: the socket's buffer is full
};

// sendfile has no MSG_NOSIGNAL: a peer that left must not kill the engine, so SIGPIPE is held back and swallowed here.
Sent SendfileQuietly(int socket, int file, uint64_t offset, uint64_t length) {
  sigset_t pipe_only, before;
  sigemptyset(&pipe_only);
  sigaddset(&pipe_only, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
  Sent sent;
  off_t position = static_cast<off_t>(offset);
  while (sent.bytes < length) {
    ssize_t step = ::sendfile(socket, file, &position, std::min<uint64_t>(length - sent.bytes, kSendfileStep));
    if (step < 0 && errno == EINTR) continue;
    if (step <= 0) {
      sent.error = step < 0 ? errno : ENODATA;
      break;
    }
    sent.bytes += static_cast<size_t>(step);
  }
  if (sent.error == EPIPE) {
    timespec none{};
    sigtimedwait(&pipe_only, nullptr, &none);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return sent;
}

Error FileTooShort() {
  return Error(ErrorKind::kDataLoss, "a file that was being sent is shorter than its recorded length");
}

}  // namespace

struct Transport::Tls {
  asio::ssl::context context;
  std::string default_host;  // the stream's SSL points at it
  asio::ssl::stream<Socket&> stream;
  Tls(SSL_CTX* shared, Socket& socket, std::string host)
      : context(Shared(shared)), default_host(std::move(host)), stream(socket, context) {}
};

Transport::Transport(Socket socket)
    : socket_(std::move(socket)), timer_(socket_.get_executor()), due_(kNever), armed_for_(kNever) {
  boost::system::error_code ignored;
  socket_.native_non_blocking(true, ignored);
}

Transport::~Transport() = default;

void Transport::ExpireAfter(Millis duration) {
  due_ = Clock::now() + duration;
  expired_ = false;
  if (!armed_ || armed_for_ > due_) Arm();
}

// A timer already set for an earlier moment is left alone: it looks at due_ when it fires, so a busy connection
// touches the timer queue about once per idle period, not once per operation.
void Transport::Arm() {
  armed_ = true;
  armed_for_ = due_;
  timer_.expires_at(due_);
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& ec) {
    std::shared_ptr<Transport> self = weak.lock();
    if (self != nullptr && !ec) self->OnTimer();
  });
}

void Transport::OnTimer() {
  armed_ = false;
  if (due_ == kNever) return;
  if (Clock::now() < due_) return Arm();
  expired_ = true;
  due_ = kNever;
  Cancel();
}

Error Transport::Describe(const boost::system::error_code& ec, std::string_view what) const {
  if (expired_) return Error(ErrorKind::kDeadlineExceeded, std::string(what) + ": the peer took too long");
  if (ec == asio::error::operation_aborted) return Error(ErrorKind::kCancelled, std::string(what) + ": cancelled");
  return Error(ErrorKind::kUnavailable, std::string(what) + ": " + ec.message());
}

asio::awaitable<Result<void>> Transport::StartTls(ssl_ctx_st* context, std::string default_host, std::string received) {
  tls_ = std::make_unique<Tls>(context, socket_, std::move(default_host));
  SetDefaultHost(tls_->stream.native_handle(), &tls_->default_host);
  auto [ec, used] =
      co_await tls_->stream.async_handshake(asio::ssl::stream_base::server, asio::buffer(received), kToken);
  if (ec) co_return Fail(Describe(ec, "TLS handshake"));
  if (used != received.size()) co_return Fail(InvalidArgument("TLS handshake: bytes came before its end"));
  co_return Result<void>{};
}

asio::awaitable<Result<size_t>> Transport::ReadSome(char* data, size_t size) {
  boost::system::error_code ec;
  size_t got = 0;
  if (tls_ != nullptr) {
    std::tie(ec, got) = co_await tls_->stream.async_read_some(asio::buffer(data, size), kToken);
    if (ec == asio::ssl::error::stream_truncated) ec = asio::error::eof;
  } else {
    std::tie(ec, got) = co_await socket_.async_read_some(asio::buffer(data, size), kToken);
  }
  if (ec == asio::error::eof) co_return size_t{0};
  if (ec) co_return Fail(Describe(ec, "cannot read from the peer"));
  co_return got;
}

asio::awaitable<Result<size_t>> Transport::WriteSome(std::string_view a, std::string_view b) {
  std::array<asio::const_buffer, 2> buffers = {asio::buffer(a), asio::buffer(b)};
  boost::system::error_code ec;
  size_t sent = 0;
  if (tls_ != nullptr) {
    // TLS makes a record of one buffer; pick the one that has bytes.
    std::tie(ec, sent) = co_await tls_->stream.async_write_some(a.empty() ? buffers[1] : buffers[0], kToken);
  } else {
    std::tie(ec, sent) = co_await socket_.async_write_some(buffers, kToken);
  }
  if (ec) co_return Fail(Describe(ec, "cannot write to the peer"));
  co_return sent;
}

asio::awaitable<Result<void>> Transport::Write(std::string_view a, std::string_view b, Millis stall) {
  std::string joined;
  if (tls_ != nullptr && !a.empty() && !b.empty() && a.size() + b.size() <= 16 * 1024) {
    joined.append(a).append(b);  // one record for a small response
    a = joined;
    b = {};
  }
  while (!a.empty() || !b.empty()) {
    ExpireAfter(stall);
    Result<size_t> sent = co_await WriteSome(a, b);
    if (!sent) co_return Fail(std::move(sent).error());
    size_t of_a = std::min(*sent, a.size());
    a.remove_prefix(of_a);
    b.remove_prefix(*sent - of_a);
  }
  co_return Result<void>{};
}

asio::awaitable<Result<void>> Transport::SendFile(io::Runtime& runtime, int file, uint64_t offset, uint64_t length,
                                                  Millis stall) {
  if (tls_ == nullptr) co_return co_await SendFilePlain(runtime, file, offset, length, stall);
  while (length > 0) {
    size_t step = std::min<uint64_t>(length, kTlsFileStep);
    Result<std::string> piece =
        co_await io::OnBlockingPool(runtime, [file, offset, step] { return io::ReadAt(file, offset, step); });
    if (!piece) co_return Fail(std::move(piece).error());
    if (piece->size() != step) co_return Fail(FileTooShort());
    CO_TRYV(co_await Write(*piece, {}, stall));
    offset += step;
    length -= step;
  }
  co_return Result<void>{};
}

asio::awaitable<Result<void>> Transport::SendFilePlain(io::Runtime& runtime, int file, uint64_t offset, uint64_t length,
                                                       Millis stall) {
  while (length > 0) {
    int socket = socket_.native_handle();
    Sent sent = co_await io::OnBlockingPool(
        runtime, [socket, file, offset, length] { return SendfileQuietly(socket, file, offset, length); });
    offset += sent.bytes;
    length -= sent.bytes;
    if (sent.error == 0) continue;
    if (sent.error == ENODATA) co_return Fail(FileTooShort());
    if (sent.error != EAGAIN) co_return Fail(FromErrno(sent.error, "cannot write to the peer"));
    ExpireAfter(stall);
    auto [ec] = co_await socket_.async_wait(Socket::wait_write, kToken);
    if (ec) co_return Fail(Describe(ec, "cannot write to the peer"));
  }
  co_return Result<void>{};
}

asio::awaitable<void> Transport::ShutdownWrite(Millis deadline) {
  if (tls_ != nullptr) {
    ExpireAfter(deadline);
    co_await tls_->stream.async_shutdown(kToken);
  }
  boost::system::error_code ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
}

bool Transport::PeerGone() {
  char next = 0;
  ssize_t got = ::recv(socket_.native_handle(), &next, 1, MSG_PEEK | MSG_DONTWAIT);
  return got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

void Transport::Cancel() {
  boost::system::error_code ignored;
  socket_.cancel(ignored);
}

void Transport::Abort() {
  boost::system::error_code ignored;
  Cancel();
  socket_.shutdown(Socket::shutdown_both, ignored);
}

}  // namespace sagebrush::http
