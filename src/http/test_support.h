#pragma once
// Real sockets for the tests of this folder: a server with a scripted handler, and a client that sends exact bytes.

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "base/text.h"
#include "http/parser.h"
#include "http/server.h"

namespace sagebrush::http::testing {

constexpr int kPatienceMs = 20'000;  // of a test that would otherwise hang

class TempDir {
 public:
  TempDir() {
    char name[] = "/tmp/sagebrush-http-XXXXXX";
    path_ = ::mkdtemp(name);
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

struct Reply {
  int status = 0;
  Headers headers;
  std::string body;
};

// A blocking connection that sends exactly what it is told and parses replies in order.
class Wire {
 public:
  explicit Wire(int fd) : fd_(fd) {}
  static Wire ToPort(uint16_t port) {
    int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0) << strerror(errno);
    return Wire(fd);
  }
  static Wire ToUnix(const std::filesystem::path& path) {
    int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{.sun_family = AF_UNIX};
    path.native().copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0) << strerror(errno);
    return Wire(fd);
  }
  Wire(Wire&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)),
        ssl_(std::move(other.ssl_)),
        context_(std::move(other.context_)),
        buffer_(std::move(other.buffer_)) {}
  ~Wire() {
    ssl_.reset();
    if (fd_ >= 0) ::close(fd_);
  }

  // A TLS client handshake that trusts only the given CA file and insists on `host`. The verification result's text;
  // "ok" when all is well.
  std::string StartTls(const std::filesystem::path& ca, const std::string& host) {
    context_.reset(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_load_verify_locations(context_.get(), ca.c_str(), nullptr);
    SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
    ssl_.reset(SSL_new(context_.get()));
    bool ip = inet_addr(host.c_str()) != INADDR_NONE;
    if (ip) {
      X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_.get()), host.c_str());
    } else {
      SSL_set_tlsext_host_name(ssl_.get(), host.c_str());
      SSL_set1_host(ssl_.get(), host.c_str());
    }
    X509_VERIFY_PARAM_set_flags(SSL_get0_param(ssl_.get()), X509_V_FLAG_X509_STRICT);
    SSL_set_fd(ssl_.get(), fd_);
    if (SSL_connect(ssl_.get()) == 1) return X509_verify_cert_error_string(SSL_get_verify_result(ssl_.get()));
    return std::string("handshake failed: ") + X509_verify_cert_error_string(SSL_get_verify_result(ssl_.get()));
  }

  void Send(std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t sent = ssl_ ? SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()))
                          : ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;  // the peer has closed; what it said is still to be read
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
  }
  void HalfClose() { ::shutdown(fd_, SHUT_WR); }

  // More bytes into the buffer; false at the end of the stream.
  bool Fill() {
    char space[64 * 1024];
    if (!ssl_ || SSL_pending(ssl_.get()) == 0) {
      pollfd waiting{fd_, POLLIN, 0};
      if (::poll(&waiting, 1, kPatienceMs) != 1) {
        ADD_FAILURE() << "the server sent nothing for " << kPatienceMs << " ms";
        return false;
      }
    }
    ssize_t got = ssl_ ? SSL_read(ssl_.get(), space, sizeof space) : ::recv(fd_, space, sizeof space, 0);
    if (got <= 0) return false;
    buffer_.append(space, static_cast<size_t>(got));
    return true;
  }
  // Exactly that many bytes, fewer at the end of the stream.
  std::string ReadBytes(size_t count) {
    while (buffer_.size() < count && Fill()) {
    }
    std::string bytes = buffer_.substr(0, count);
    buffer_.erase(0, bytes.size());
    return bytes;
  }
  std::string ReadToEnd() {
    while (Fill()) {
    }
    return std::exchange(buffer_, {});
  }
  bool AtEnd() { return buffer_.empty() && !Fill(); }

  // The next reply, 100 Continue included. Status 0 when the connection ends first.
  Reply Read(bool head_request = false) {
    MessageParser parser(MessageParser::Kind::kResponse, 1024 * 1024);
    Reply reply;
    while (true) {
      auto used = parser.Feed(buffer_);
      if (!used) {
        ADD_FAILURE() << "malformed reply: " << used.error().text << "\n" << buffer_;
        return reply;
      }
      buffer_.erase(0, *used);
      if (parser.head_done()) break;
      if (*used == 0 && !Fill()) return reply;
      if (*used > 0 && buffer_.empty() && !Fill()) return reply;
    }
    reply.headers = parser.head().headers;
    int status = parser.head().status;
    bool bodiless = head_request || status < 200 || status == 204 || status == 304;
    if (!bodiless && parser.head().chunked) {
      while (!parser.body_done()) {
        auto used = parser.Feed(buffer_);
        if (!used) {
          ADD_FAILURE() << used.error().text;
          return reply;
        }
        buffer_.erase(0, *used);
        reply.body += parser.TakeBody();
        if (*used == 0 && !Fill()) return reply;
      }
    } else if (!bodiless && parser.head().content_length) {
      reply.body = ReadBytes(*parser.head().content_length);
      EXPECT_EQ(reply.body.size(), *parser.head().content_length);
    } else if (!bodiless) {
      reply.body = ReadToEnd();
    }
    reply.status = status;
    return reply;
  }
  int fd() const { return fd_; }

 private:
  struct FreeSsl {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };
  struct FreeContext {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };
  int fd_;
  std::unique_ptr<SSL, FreeSsl> ssl_;
  std::unique_ptr<SSL_CTX, FreeContext> context_;
  std::string buffer_;
};

// A server on a runtime of its own, and a handler with a few paths:
//   /echo      the body back                /describe  the request as text, one fact per line
//   /file      the open test file's range   /unread    200 without a look at the body
//   /gate      waits until Open()           /throw     throws
class TestServer {
 public:
  explicit TestServer(ServerOptions options = {}) : runtime_(2, 2) {
    if (options.tcp.empty()) options.tcp.push_back({});
    server_ = std::make_unique<Server>(runtime_, std::move(options), [this](Request& r) { return Handle(r); });
    Result<void> started = server_->Start();
    EXPECT_TRUE(started) << started.error().message;
    thread_ = std::jthread([this] { runtime_.Run(); });
  }
  ~TestServer() {
    Open();
    server_->StopAndWait(std::chrono::seconds(10));
    runtime_.Stop();
  }

  uint16_t port() const { return server_->tcp_ports()[0]; }
  Wire Connect() const { return Wire::ToPort(port()); }
  Server& server() { return *server_; }
  std::filesystem::path file;

  void Open() { open_ = true; }
  // Blocks until that many requests have reached /gate.
  void AwaitAtGate(int count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::milliseconds(kPatienceMs), [&] { return at_gate_ >= count; }));
  }
  // Of the request that came to /gate last.
  bool PeerGone() {
    std::lock_guard lock(mutex_);
    return peer_gone_();
  }
  int cancelled() const { return cancelled_; }
  int handled() const { return handled_; }

 private:
  asio::awaitable<Response> Handle(Request& request) {
    ++handled_;
    if (request.path.starts_with("/echo")) return Echo(request);
    if (request.path == "/gate") return Gate(request);
    return Simple(request);
  }

  static asio::awaitable<Response> Echo(Request& request) {
    Result<std::string> body = co_await ReadAll(*request.body, 64 * 1024 * 1024);
    Response response{.status = body ? 200 : 400};
    response.headers.Add("Content-Type", "application/octet-stream");
    response.body = body ? *std::move(body) : body.error().message;
    co_return response;
  }

  asio::awaitable<Response> Gate(Request& request) {
    {
      std::lock_guard lock(mutex_);
      ++at_gate_;
      peer_gone_ = request.peer_gone;
    }
    changed_.notify_all();
    struct Watch {
      std::atomic<int>& cancelled;
      bool done = false;
      ~Watch() { cancelled += done ? 0 : 1; }
    } watch{cancelled_};
    asio::steady_timer timer(co_await asio::this_coro::executor);
    while (!open_) {
      timer.expires_after(std::chrono::milliseconds(5));
      co_await timer.async_wait(asio::use_awaitable);
    }
    watch.done = true;
    Response response;
    response.body = "through";
    co_return response;
  }

  asio::awaitable<Response> Simple(Request& request) {
    if (request.path == "/throw") throw std::runtime_error("deliberate");
    Response response;
    if (request.path == "/file") {
      auto fd = io::Open(file, O_RDONLY);
      uint64_t offset = std::stoull(request.QueryValue("offset") ? *request.QueryValue("offset") : "0");
      uint64_t length = std::stoull(request.QueryValue("length") ? *request.QueryValue("length") : "0");
      response.body = FileBody{*std::move(fd), offset, length};
      if (request.method == "HEAD") response.head_length = length;
    } else if (request.path.starts_with("/describe")) {
      std::string text = request.method + "\n" + request.target + "\n" + request.path + "\nhost=" + request.host +
                         "\ntls=" + (request.tls ? "1" : "0") + "\nlocal=" + (request.local ? "1" : "0") + "\n";
      for (const auto& [key, value] : request.query) text += "query " + key + "=" + value + "\n";
      for (const auto& [key, value] : request.headers) text += "field " + key + "=" + value + "\n";
      response.body = text;
    } else {
      response.body = request.path;
    }
    co_return response;
  }

  io::Runtime runtime_;
  std::unique_ptr<Server> server_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int at_gate_ = 0;
  std::function<bool()> peer_gone_;
  std::atomic<bool> open_ = false;
  std::atomic<int> cancelled_ = 0, handled_ = 0;
  std::jthread thread_;
};

inline std::string Get(std::string_view target, std::string_view fields = "") {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: engine\r\n" + std::string(fields) + "\r\n";
}

}  // namespace sagebrush::http::testing
