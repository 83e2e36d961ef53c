#include "driver/sandbox/connect_socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>
#include <vector>

#include "base/clock.h"
#include "io/descriptor_passing.h"

namespace sagebrush::driver {
namespace {

constexpr char kSocketName[] = "connect.sock";
constexpr int kRequestsATurn = 64;  // so that a flood of them does not hold up the log
constexpr size_t kMostDescriptors = 4;

// One message that is sent and received whole.
template <class Value>
ssize_t SendWith(int socket, const Value& value, int descriptor, int flags) {
  std::span<const int> descriptors(&descriptor, descriptor >= 0 ? 1 : 0);
  return io::SendWithDescriptors(socket, {reinterpret_cast<const char*>(&value), sizeof value}, descriptors, flags);
}

template <class Value>
ssize_t ReceiveWith(int socket, Value& value, std::vector<io::UniqueFd>& descriptors) {
  return io::ReceiveWithDescriptors(socket, {reinterpret_cast<char*>(&value), sizeof value}, kMostDescriptors,
                                    descriptors, MSG_DONTWAIT);
}

// Begins to connect; 0, or the error.
int BeginToConnect(uint16_t port, io::UniqueFd& out) {
  out = io::UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!out) return errno;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(out.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return 0;
  return errno == EINPROGRESS ? 0 : errno;
}

// False when nothing has come by then.
bool Await(int fd, short events, int64_t until_ms) {
  pollfd waiting{fd, events, 0};
  while (true) {
    int ready = ::poll(&waiting, 1, static_cast<int>(std::max<int64_t>(until_ms - MonotonicMs(), 0)));
    if (ready >= 0 || errno != EINTR) return ready > 0;
  }
}

Error Refused(uint16_t port, const std::string& why) {
  return {ErrorKind::kUnavailable, "No connection to port " + std::to_string(port) + " of the instance: " + why + "."};
}

Result<void> SendRequest(const InstanceFiles& files, uint16_t port, int answer, int64_t deadline_ms) {
  Result<io::UniqueFd> directory = io::Open(files.directory, O_PATH | O_DIRECTORY);
  if (!directory && directory.error().kind == ErrorKind::kNotFound) return Fail(Refused(port, "it does not run"));
  if (!directory) return Fail(std::move(directory).error());
  io::UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return Fail(FromErrno(errno, "cannot make a socket"));
  sockaddr_un address = UnixAddressIn(directory->get(), kSocketName);
  timeval patience{deadline_ms / 1000, deadline_ms % 1000 * 1000};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return Fail(Refused(port, "it does not run"));
  }
  if (SendWith(fd.get(), port, answer, 0) >= 0) return {};
  return Fail(Refused(port, errno == EAGAIN ? "its agent is too busy" : std::strerror(errno)));
}

// The socket as it came, perhaps still connecting.
Result<io::UniqueFd> AwaitAnswer(int answer, uint16_t port, int64_t until_ms) {
  if (!Await(answer, POLLIN, until_ms)) return Fail(Refused(port, "its agent does not answer"));
  int32_t code = 0;
  std::vector<io::UniqueFd> descriptors;
  if (ReceiveWith(answer, code, descriptors) != sizeof code) return Fail(Refused(port, "its agent is gone"));
  if (code != 0) return Fail(Refused(port, std::strerror(code)));
  // The kernel leaves out what finds no place.
  if (descriptors.size() != 1) return Fail(FromErrno(EMFILE, "cannot take a connection"));
  return std::move(descriptors.front());
}

}  // namespace

Result<ConnectSocket> ConnectSocket::Open(const InstanceFiles& files) {
  TRY(io::UniqueFd directory, io::Open(files.directory, O_PATH | O_DIRECTORY));
  ::unlink((files.directory / kSocketName).c_str());  // of an agent that was killed before it came to anything
  io::UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address = UnixAddressIn(directory.get(), kSocketName);
  mode_t before = ::umask(0177);  // from its first moment on
  bool bound = fd && ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  ::umask(before);
  if (!bound) return Fail(FromErrno(errno, "cannot listen for the engine's connections"));
  return ConnectSocket(std::move(fd));
}

void ConnectSocket::Serve() const {
  for (int i = 0; i < kRequestsATurn; ++i) {
    uint16_t port = 0;
    std::vector<io::UniqueFd> answer;
    ssize_t got = ReceiveWith(fd_.get(), port, answer);
    if (got < 0) return;
    if (got != sizeof port || answer.size() != 1) continue;
    io::UniqueFd connection;
    int32_t code = BeginToConnect(port, connection);
    // Whoever does not wait any more needs no answer.
    static_cast<void>(SendWith(answer.front().get(), code, code == 0 ? connection.get() : -1, MSG_DONTWAIT));
  }
}

Result<io::UniqueFd> RequestConnection(const InstanceFiles& files, uint16_t port, int64_t deadline_ms) {
  int64_t until_ms = MonotonicMs() + deadline_ms;
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return Fail(FromErrno(errno, "cannot make a socket pair"));
  }
  io::UniqueFd mine(ends[0]), theirs(ends[1]);
  TRYV(SendRequest(files, port, theirs.get(), deadline_ms));
  theirs.Reset();  // so that the agent's death is seen
  TRY(io::UniqueFd connection, AwaitAnswer(mine.get(), port, until_ms));
  if (!Await(connection.get(), POLLOUT, until_ms)) {
    return Fail(Refused(port, "what listens there accepts no more connections"));
  }
  int error = 0, on = 1;
  socklen_t length = sizeof error;
  ::getsockopt(connection.get(), SOL_SOCKET, SO_ERROR, &error, &length);
  if (error == ECONNREFUSED) return Fail(Refused(port, "nothing listens there"));
  if (error != 0) return Fail(Refused(port, std::strerror(error)));
  ::setsockopt(connection.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return connection;
}

}  // namespace sagebrush::driver
