#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "io/file.h"

struct ssl_ctx_st;
struct ssl_st;

namespace sagebrush::http {

// Whose certificates a client of TLS believes. Immutable, for any number of connections and threads.
class TlsTrust {
 public:
  // `ca_file`: the authorities, in PEM; empty means the system's (SSL_CERT_FILE, SSL_CERT_DIR, else OpenSSL's own).
  // Without `verify` every certificate does. kFailedPrecondition for a file that holds none.
  static Result<std::shared_ptr<const TlsTrust>> Load(const std::filesystem::path& ca_file, bool verify);
  ssl_ctx_st* context() const { return context_.get(); }

 private:
  TlsTrust() = default;
  std::shared_ptr<ssl_ctx_st> context_;
};

// Waits for the events on a descriptor, until `deadline_ms` of the monotonic clock: then false.
bool WaitFor(int fd, short events, int64_t deadline_ms);

// A client's connected, non-blocking socket: plain, or TLS after StartTls. Not thread-safe. Its destruction says
// nothing to the peer, so a forked child may drop its copy.
class ClientStream {
 public:
  ClientStream() = default;
  explicit ClientStream(io::UniqueFd socket) : socket_(std::move(socket)) {}

  // TLS 1.2 or newer; the certificate has to name `host`, a name or an address. kFailedPrecondition when it is not
  // believed or the peer speaks something else, kUnavailable, kDeadlineExceeded. `where` is for messages.
  Result<void> StartTls(const TlsTrust& trust, const std::string& host, const std::string& where, int64_t deadline_ms);

  explicit operator bool() const { return static_cast<bool>(socket_); }
  // As WaitFor, but true at once when received bytes are left in this object.
  bool Wait(short events, int64_t deadline_ms) const;
  // As send(2) and recv(2): -1 and errno, EAGAIN when nothing can move now. Never a SIGPIPE. An end of TLS that the
  // peer did not announce is ECONNRESET.
  ssize_t Send(std::string_view bytes);
  ssize_t Receive(char* buffer, size_t size);

 private:
  struct Free {
    void operator()(ssl_st* ssl) const;
  };
  io::UniqueFd socket_;
  std::unique_ptr<ssl_st, Free> ssl_;
};

}  // namespace sagebrush::http
