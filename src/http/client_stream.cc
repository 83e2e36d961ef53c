#include "http/client_stream.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/clock.h"

namespace sagebrush::http {
namespace {

// OpenSSL's own socket BIO calls write(2), which raises SIGPIPE in a process that may not be ours.
int WriteSocket(BIO* bio, const char* data, int size) {
  BIO_clear_retry_flags(bio);
  ssize_t sent = ::send(static_cast<int>(reinterpret_cast<intptr_t>(BIO_get_data(bio))), data,
                        static_cast<size_t>(size), MSG_NOSIGNAL);
  if (sent < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_write(bio);
  return static_cast<int>(sent);
}

int ReadSocket(BIO* bio, char* data, int size) {
  BIO_clear_retry_flags(bio);
  ssize_t got =
      ::recv(static_cast<int>(reinterpret_cast<intptr_t>(BIO_get_data(bio))), data, static_cast<size_t>(size), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(bio);
  return static_cast<int>(got);
}

long ControlSocket(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

BIO_METHOD* SocketMethod() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
    BIO_meth_set_write(made, WriteSocket);
    BIO_meth_set_read(made, ReadSocket);
    BIO_meth_set_ctrl(made, ControlSocket);
    return made;
  }();
  return method;
}

// What a failed call of OpenSSL means in the words of send(2) and recv(2): -1 with errno, or 0 for the peer's goodbye.
ssize_t Failure(SSL* ssl, int result) {
  int error = errno;
  switch (SSL_get_error(ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      errno = EAGAIN;
      return -1;
    case SSL_ERROR_ZERO_RETURN:
      return 0;
    case SSL_ERROR_SYSCALL:
      errno = error != 0 ? error : ECONNRESET;
      return -1;
    default:
      errno = ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING ? ECONNRESET : EPROTO;
      return -1;
  }
}

std::string LastReason() {
  const char* reason = ERR_reason_error_string(ERR_peek_error());
  return reason != nullptr ? reason : "it broke off";
}

Error HandshakeFailed(SSL* ssl, int code, const std::string& where) {
  if (long verdict = SSL_get_verify_result(ssl); verdict != X509_V_OK) {
    return Error(ErrorKind::kFailedPrecondition,
                 "the certificate of " + where + " is not trusted (" + X509_verify_cert_error_string(verdict) + ")");
  }
  ErrorKind kind = code == SSL_ERROR_SSL ? ErrorKind::kFailedPrecondition : ErrorKind::kUnavailable;
  if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) kind = ErrorKind::kUnavailable;
  return Error(kind, "the TLS handshake with " + where + " failed (" + LastReason() + ")");
}

// The certificate has to name the host; the server hears which of its names is meant.
bool Expect(SSL* ssl, const std::string& host) {
  unsigned char address[sizeof(in6_addr)];
  if (::inet_pton(AF_INET, host.c_str(), address) == 1 || ::inet_pton(AF_INET6, host.c_str(), address) == 1) {
    return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str()) == 1;
  }
  return SSL_set1_host(ssl, host.c_str()) == 1 && SSL_set_tlsext_host_name(ssl, host.c_str()) == 1;
}

}  // namespace

Result<std::shared_ptr<const TlsTrust>> TlsTrust::Load(const std::filesystem::path& ca_file, bool verify) {
  ERR_clear_error();
  std::shared_ptr<TlsTrust> trust(new TlsTrust);
  trust->context_.reset(SSL_CTX_new(TLS_client_method()), [](SSL_CTX* context) { SSL_CTX_free(context); });
  SSL_CTX* context = trust->context();
  if (context == nullptr) return Fail(Internal("cannot set up TLS: " + LastReason()));
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_verify(context, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (!verify) return trust;
  int loaded =
      ca_file.empty() ? SSL_CTX_set_default_verify_paths(context) : SSL_CTX_load_verify_file(context, ca_file.c_str());
  if (loaded != 1) {
    return Fail(Error(ErrorKind::kFailedPrecondition,
                      "cannot read the trusted certificates of " + ca_file.string() + ": " + LastReason()));
  }
  return trust;
}

bool WaitFor(int fd, short events, int64_t deadline_ms) {
  while (true) {
    int64_t left_ms = deadline_ms - MonotonicMs();
    if (left_ms <= 0) return false;
    pollfd waiting{fd, events, 0};
    int ready = ::poll(&waiting, 1, static_cast<int>(std::min<int64_t>(left_ms, 60'000)));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return true;  // the call that follows reports it
  }
}

void ClientStream::Free::operator()(ssl_st* ssl) const { SSL_free(ssl); }

Result<void> ClientStream::StartTls(const TlsTrust& trust, const std::string& host, const std::string& where,
                                    int64_t deadline_ms) {
  ssl_.reset(SSL_new(trust.context()));
  BIO* bio = BIO_new(SocketMethod());
  if (ssl_ == nullptr || bio == nullptr || !Expect(ssl_.get(), host)) {
    BIO_free(bio);
    return Fail(Internal("cannot set up TLS for " + where));
  }
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<intptr_t>(socket_.get())));
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
  while (true) {
    ERR_clear_error();
    int result = SSL_connect(ssl_.get());
    if (result == 1) return {};
    int code = SSL_get_error(ssl_.get(), result);
    if (code != SSL_ERROR_WANT_READ && code != SSL_ERROR_WANT_WRITE) {
      return Fail(HandshakeFailed(ssl_.get(), code, where));
    }
    if (!WaitFor(socket_.get(), code == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline_ms)) {
      return Fail(Error(ErrorKind::kDeadlineExceeded, "the TLS handshake with " + where + " took too long"));
    }
  }
}

bool ClientStream::Wait(short events, int64_t deadline_ms) const {
  return (ssl_ && SSL_pending(ssl_.get()) > 0) || WaitFor(socket_.get(), events, deadline_ms);
}

ssize_t ClientStream::Send(std::string_view bytes) {
  if (!ssl_) return ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  ERR_clear_error();
  size_t sent = 0;
  int result = SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &sent);
  return result == 1 ? static_cast<ssize_t>(sent) : Failure(ssl_.get(), result);
}

ssize_t ClientStream::Receive(char* buffer, size_t size) {
  if (!ssl_) return ::recv(socket_.get(), buffer, size, 0);
  ERR_clear_error();
  size_t got = 0;
  int result = SSL_read_ex(ssl_.get(), buffer, size, &got);
  return result == 1 ? static_cast<ssize_t>(got) : Failure(ssl_.get(), result);
}

}  // namespace sagebrush::http
