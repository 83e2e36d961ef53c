#include "http/client.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/clock.h"
#include "http/parser.h"
#include "http/response_writer.h"

namespace sagebrush::http {
namespace {

constexpr size_t kHeaderLimit = 256 * 1024;
constexpr size_t kReadStep = 64 * 1024;

// 0 or an errno.
int ConnectSocket(int fd, const sockaddr* address, socklen_t size, int64_t deadline_ms) {
  if (::connect(fd, address, size) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  if (!WaitFor(fd, POLLOUT, deadline_ms)) return ETIMEDOUT;
  int error = 0;
  socklen_t length = sizeof error;
  return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}

}  // namespace

std::string FormatHead(const ClientRequest& request, std::string_view default_host) {
  std::string head = request.method + " " + request.target + " HTTP/1.1\r\n";
  if (!request.headers.Has("Host")) head.append("Host: ").append(default_host).append("\r\n");
  for (const auto& [name, value] : request.headers) {
    head.append(SafeFieldValue(name)).append(": ").append(SafeFieldValue(value)).append("\r\n");
  }
  bool needs_length = !request.body.empty() || (request.method != "GET" && request.method != "HEAD");
  if (needs_length && !request.headers.Has("Content-Length")) {
    head += "Content-Length: " + std::to_string(request.body.size()) + "\r\n";
  }
  return head + "\r\n";
}

Client::Client(std::string host, uint16_t port, std::filesystem::path socket, std::shared_ptr<const TlsTrust> trust,
               ClientOptions options)
    : host_(std::move(host)),
      port_(port),
      socket_path_(std::move(socket)),
      options_(std::move(options)),
      trust_(std::move(trust)) {
  bool v6 = host_.contains(':');
  where_ = socket_path_.empty()
               ? (trust_ ? "https://" : "http://") + (v6 ? "[" + host_ + "]" : host_) + ":" + std::to_string(port_)
               : socket_path_.string();
}

Client Client::ForTcp(std::string host, uint16_t port, ClientOptions options) {
  return Client(std::move(host), port, {}, nullptr, std::move(options));
}
Client Client::ForTls(std::string host, uint16_t port, std::shared_ptr<const TlsTrust> trust, ClientOptions options) {
  return Client(std::move(host), port, {}, std::move(trust), std::move(options));
}
Client Client::ForUnix(std::filesystem::path socket, ClientOptions options) {
  return Client("localhost", 80, std::move(socket), nullptr, std::move(options));
}

Error Client::NotRunning(const std::string& why) const {
  std::string text = options_.server + " is not running at " + where_ + " (" + why + ")";
  if (options_.server == ClientOptions().server) text += ": start it with 'sagebrush serve'";
  return Error(ErrorKind::kUnavailable, std::move(text));
}

Result<io::UniqueFd> Client::ConnectUnix(int64_t deadline_ms) const {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path_.native().size() >= sizeof address.sun_path) {
    return Fail(InvalidArgument("the socket path " + socket_path_.string() + " is longer than the system allows"));
  }
  std::memcpy(address.sun_path, socket_path_.c_str(), socket_path_.native().size());
  io::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return Fail(FromErrno(errno, "cannot make a socket"));
  int error = ConnectSocket(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address, deadline_ms);
  if (error != 0) return Fail(NotRunning(std::strerror(error)));
  return fd;
}

Result<io::UniqueFd> Client::ConnectTcp(int64_t deadline_ms) const {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (int failure = ::getaddrinfo(host_.c_str(), std::to_string(port_).c_str(), &hints, &list); failure != 0) {
    return Fail(Error(ErrorKind::kUnavailable, "the name '" + host_ + "' of " + options_.server +
                                                   " could not be looked up: " + gai_strerror(failure)));
  }
  std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, &::freeaddrinfo);
  int error = EADDRNOTAVAIL;
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    io::UniqueFd fd(::socket(entry->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return Fail(FromErrno(errno, "cannot make a socket"));
    error = ConnectSocket(fd.get(), entry->ai_addr, entry->ai_addrlen, deadline_ms);
    int on = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (error == 0) return fd;
  }
  return Fail(NotRunning(std::strerror(error)));
}

Client Client::OnSocket(io::UniqueFd connected, ClientOptions options) {
  Client client("localhost", 80, {}, nullptr, std::move(options));
  ::fcntl(connected.get(), F_SETFL, ::fcntl(connected.get(), F_GETFL) | O_NONBLOCK);
  client.stream_ = ClientStream(std::move(connected));
  client.adopted_ = true;
  return client;
}

Result<void> Client::Connect(int64_t deadline_ms) {
  if (adopted_) return Fail(Broken("it was closed"));
  deadline_ms = std::min(deadline_ms, MonotonicMs() + options_.connect_deadline.count());
  Result<io::UniqueFd> socket = socket_path_.empty() ? ConnectTcp(deadline_ms) : ConnectUnix(deadline_ms);
  if (!socket) return Fail(std::move(socket).error());
  ClientStream stream(*std::move(socket));
  if (trust_) TRYV(stream.StartTls(*trust_, host_, where_, deadline_ms));
  stream_ = std::move(stream);
  return {};
}

Result<ClientResponse> Client::Call(const ClientRequest& request) {
  if (request.method.empty() || request.target.empty() || request.target.find_first_of(" \r\n") != std::string::npos) {
    return Fail(InvalidArgument("a request needs a method and a percent-encoded target"));
  }
  int64_t deadline_ms = MonotonicMs() + options_.deadline.count();
  std::string bytes =
      FormatHead(request, socket_path_.empty() ? where_.substr(where_.find("//") + 2) : host_) + request.body;
  bool head_request = request.method == "HEAD";
  bool answered = false;
  if (stream_) {
    Result<ClientResponse> response = Exchange(bytes, head_request, deadline_ms, answered);
    bool stale = !response && response.error().kind == ErrorKind::kUnavailable && !answered;
    if (!stale) return response;
  }
  TRYV(Connect(deadline_ms));
  return Exchange(bytes, head_request, deadline_ms, answered);
}

// Takes what `buffer` holds into the response. True when the response is complete.
Result<bool> Client::Take(MessageParser& parser, std::string& buffer, bool head_request, bool ended,
                          ClientResponse& response) const {
  while (!parser.head_done() || parser.head().chunked) {
    auto used = parser.Feed(buffer);
    if (!used)
      return Fail(Error(ErrorKind::kDataLoss, options_.server + "'s answer was malformed: " + used.error().text));
    buffer.erase(0, *used);
    if (parser.head_done() && parser.head().status < 200) {
      parser = MessageParser(MessageParser::Kind::kResponse, kHeaderLimit);
      continue;
    }
    if (parser.head_done()) response.body += parser.TakeBody();
    if (*used == 0) break;
  }
  if (!parser.head_done()) return false;
  const MessageHead& head = parser.head();
  if (head_request || head.status == 204 || head.status == 304) return true;
  if (!head.chunked) {
    size_t wanted = head.content_length.value_or(SIZE_MAX) - response.body.size();
    response.body += buffer.substr(0, wanted);
    buffer.erase(0, wanted);
  }
  if (response.body.size() > options_.response_limit || head.content_length.value_or(0) > options_.response_limit) {
    return Fail(Error(ErrorKind::kResourceExhausted, options_.server + "'s answer is larger than " +
                                                         std::to_string(options_.response_limit) + " bytes"));
  }
  if (head.chunked) return parser.body_done();
  return head.content_length ? response.body.size() == *head.content_length : ended;
}

// Sends some of `unsent` and receives some bytes into `buffer`, whichever is possible first. False at the end of the
// engine's stream.
Result<bool> Client::Move(ClientStream& stream, std::string_view& unsent, std::string& buffer,
                          int64_t deadline_ms) const {
  short events = unsent.empty() ? POLLIN : POLLIN | POLLOUT;
  if (!stream.Wait(events, deadline_ms)) {
    return Fail(Error(ErrorKind::kDeadlineExceeded, options_.server + " at " + where_ + " did not answer in time"));
  }
  if (!unsent.empty()) {
    ssize_t sent = stream.Send(unsent);
    if (sent > 0) unsent.remove_prefix(static_cast<size_t>(sent));
    // The engine may answer before it has read everything; then it is the answer that counts.
    if (sent < 0 && (errno == EPIPE || errno == ECONNRESET)) unsent = {};
  }
  size_t before = buffer.size();
  buffer.resize(before + kReadStep);
  ssize_t got = stream.Receive(buffer.data() + before, kReadStep);
  int error = errno;
  buffer.resize(before + static_cast<size_t>(std::max<ssize_t>(got, 0)));
  if (got < 0 && error != EAGAIN && error != EINTR) return Fail(Broken(std::strerror(error)));
  return got != 0;
}

Error Client::Broken(std::string_view reason) const {
  return Error(ErrorKind::kUnavailable,
               "the connection to " + options_.server + " at " + where_ + " broke (" + std::string(reason) + ")");
}

// One request and its response. The connection is kept only when both ended cleanly.
Result<ClientResponse> Client::Exchange(const std::string& bytes, bool head_request, int64_t deadline_ms,
                                        bool& answered) {
  ClientStream stream = std::move(stream_);
  std::string_view unsent = bytes;
  std::string buffer;
  MessageParser parser(MessageParser::Kind::kResponse, kHeaderLimit);
  ClientResponse response;
  bool ended = false;
  while (true) {
    TRY(bool complete, Take(parser, buffer, head_request, ended, response));
    if (complete) break;
    if (ended) return Fail(Broken(options_.server + " closed it"));
    TRY(bool open, Move(stream, unsent, buffer, deadline_ms));
    answered = answered || !buffer.empty();
    ended = !open;
  }
  response.status = parser.head().status;
  response.headers = parser.head().headers;
  if (parser.head().keep_alive && unsent.empty() && buffer.empty() && !ended) stream_ = std::move(stream);
  return response;
}

}  // namespace sagebrush::http
