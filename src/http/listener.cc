#include "http/listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace sagebrush::http {
namespace {

constexpr int kBacklog = 1024;

Result<socklen_t> FillAddress(const std::string& address, uint16_t port, sockaddr_storage& storage) {
  auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
  if (inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    return sizeof *v4;
  }
  if (inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    return sizeof *v6;
  }
  return Fail(InvalidArgument("'" + address + "' is no IP address to listen on; use 127.0.0.1, ::1, 0.0.0.0 or ::"));
}

}  // namespace

Result<Listener> ListenTcp(const std::string& address, uint16_t port) {
  sockaddr_storage storage{};
  TRY(socklen_t size, FillAddress(address, port, storage));
  std::string name = "cannot listen on " + address + " port " + std::to_string(port);
  Listener listener{.family = storage.ss_family};
  listener.socket = io::UniqueFd(::socket(listener.family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener.socket) return Fail(FromErrno(errno, name));
  int on = 1;
  ::setsockopt(listener.socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (listener.family == AF_INET6) ::setsockopt(listener.socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  auto* generic = reinterpret_cast<sockaddr*>(&storage);
  if (::bind(listener.socket.get(), generic, size) != 0 || ::listen(listener.socket.get(), kBacklog) != 0) {
    if (errno == EADDRINUSE) {
      return Fail(
          Error(ErrorKind::kAlreadyExists,
                name + ": another program has that port. Stop it, or choose another port (0 takes a free one)."));
    }
    return Fail(FromErrno(errno, name));
  }
  if (::getsockname(listener.socket.get(), generic, &size) != 0) return Fail(FromErrno(errno, name));
  listener.port = ntohs(listener.family == AF_INET ? reinterpret_cast<sockaddr_in*>(&storage)->sin_port
                                                   : reinterpret_cast<sockaddr_in6*>(&storage)->sin6_port);
  return listener;
}

Result<Listener> ListenUnix(const std::filesystem::path& path) {
  std::string name = "cannot listen on " + path.string();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.native().size() >= sizeof address.sun_path) {
    return Fail(InvalidArgument(name + ": the path of a Unix socket has at most " +
                                std::to_string(sizeof address.sun_path - 1) + " bytes; choose a shorter directory"));
  }
  std::memcpy(address.sun_path, path.c_str(), path.native().size());
  auto* generic = reinterpret_cast<sockaddr*>(&address);

  io::UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!probe) return Fail(FromErrno(errno, name));
  if (::connect(probe.get(), generic, sizeof address) == 0) {
    return Fail(Error(ErrorKind::kAlreadyExists, name + ": an engine that is running listens there already"));
  }
  if (errno == ECONNREFUSED) ::unlink(path.c_str());

  Listener listener{.family = AF_UNIX};
  listener.socket = io::UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener.socket || ::bind(listener.socket.get(), generic, sizeof address) != 0) {
    return Fail(FromErrno(errno, name));
  }
  if (::chmod(path.c_str(), 0666) != 0 || ::listen(listener.socket.get(), kBacklog) != 0) {
    Error error = FromErrno(errno, name);
    ::unlink(path.c_str());
    return Fail(std::move(error));
  }
  return listener;
}

}  // namespace sagebrush::http
