// bench-http-load PORT PATH CONTENT_TYPE BODY_FILE CONNECTIONS SECONDS [RATE [HEADERS_FILE]]
// Keeps CONNECTIONS requests to 127.0.0.1:PORT under way (RATE: sends so many a second instead, spread evenly) and
// prints JSON: {"requests", "failures", "seconds", "p50_us", "p99_us", "first_failure"}. One thread. Pinned to a
// core of its own it polls without rest: that core never sleeps, and what a hypervisor takes to wake it is counted to
// nobody.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"

namespace {

using Clock = std::chrono::steady_clock;

// What follows `name` (in lower case, with the colon) in a reply's head; servers write names in different ways.
std::optional<std::string_view> Header(std::string_view head, std::string_view name) {
  auto same = [](char have, char wanted) { return std::tolower(static_cast<unsigned char>(have)) == wanted; };
  auto found = std::ranges::search(head, name, same);
  if (found.empty()) return std::nullopt;
  std::string_view rest(found.end(), head.end());
  return rest.substr(0, rest.find("\r\n"));
}

// Whether the chunks of `body` are there to the last one.
bool ChunksAreComplete(const std::string& body) {
  size_t at = 0;
  while (true) {
    size_t line = body.find("\r\n", at);
    if (line == std::string::npos) return false;
    size_t length = std::strtoull(body.c_str() + at, nullptr, 16);
    at = line + 2 + length + 2;
    if (at > body.size()) return false;
    if (length == 0) return true;
  }
}

bool HasOwnCore() {
  cpu_set_t cores;
  return ::sched_getaffinity(0, sizeof cores, &cores) == 0 && CPU_COUNT(&cores) == 1;
}

struct Connection {
  int fd = -1;
  bool busy = false;
  Clock::time_point due;  // when the request was to be sent: what the client waits from
  std::string received;
};

class Load {
 public:
  Load(uint16_t port, std::string request, size_t connections, double rate)
      : port_(port), request_(std::move(request)), connections_(connections), rate_(rate), poll_(::epoll_create1(0)) {
    for (Connection& connection : connections_) Connect(connection);
  }

  void Run(double seconds) {
    begin_ = Clock::now();
    auto until = begin_ + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    next_ = begin_;
    // On a machine that is very busy the time may pass before the first reply.
    auto patience = until + std::chrono::minutes(1);
    while (Clock::now() < until || (latencies_.empty() && Clock::now() < patience)) {
      SendWhatIsDue();
      epoll_event events[64];
      int count = ::epoll_wait(poll_, events, 64, spins_ ? 0 : rate_ > 0 ? 1 : 1000);
      for (int index = 0; index < count; ++index) Read(connections_[events[index].data.u64]);
    }
    elapsed_ = std::chrono::duration<double>(Clock::now() - begin_).count();
  }

  void Print() {
    std::ranges::sort(latencies_);
    auto at = [this](size_t percent) {
      return latencies_.empty() ? 0.0 : latencies_[std::min(latencies_.size() - 1, latencies_.size() * percent / 100)];
    };
    std::printf(
        "{\"requests\": %zu, \"failures\": %zu, \"seconds\": %.4f, \"p50_us\": %.1f, \"p99_us\": %.1f, "
        "\"first_failure\": \"%s\"}\n",
        latencies_.size(), failures_, elapsed_, at(50), at(99), sagebrush::JsonEscape(first_failure_).c_str());
  }

 private:
  void Connect(Connection& connection) {
    if (connection.fd >= 0) ::close(connection.fd);
    connection = Connection{.fd = ::socket(AF_INET, SOCK_STREAM, 0)};
    sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(port_), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    if (::connect(connection.fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      std::perror("connect");
      std::exit(1);
    }
    int on = 1;
    ::setsockopt(connection.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    epoll_event event{.events = EPOLLIN, .data = {.u64 = static_cast<uint64_t>(&connection - connections_.data())}};
    ::epoll_ctl(poll_, EPOLL_CTL_ADD, connection.fd, &event);
  }

  void SendWhatIsDue() {
    for (Connection& connection : connections_) {
      if (connection.busy) continue;
      connection.due = Clock::now();
      if (rate_ > 0) {
        if (connection.due < next_) return;
        connection.due = next_;  // a server that is behind makes its clients wait, and the wait counts
        next_ += std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(1 / rate_));
      }
      Send(connection);
    }
  }

  void Send(Connection& connection) {
    connection.busy = true;
    for (size_t sent = 0; sent < request_.size();) {
      ssize_t wrote = ::send(connection.fd, request_.data() + sent, request_.size() - sent, MSG_NOSIGNAL);
      if (wrote <= 0) return Fail(connection, "send failed");
      sent += static_cast<size_t>(wrote);
    }
  }

  void Fail(Connection& connection, const std::string& why) {
    if (++failures_ == 1) first_failure_ = why;
    Connect(connection);
  }

  // Whether the whole reply is there, whose head ends at `head`.
  bool IsComplete(const Connection& connection, size_t head) {
    std::string_view text = std::string_view(connection.received).substr(0, head + 2);
    if (auto length = Header(text, "\r\ncontent-length:")) {
      return connection.received.size() >= head + 4 + std::strtoull(length->data(), nullptr, 10);
    }
    if (Header(text, "\r\ntransfer-encoding:")) return ChunksAreComplete(connection.received.substr(head + 4));
    std::fprintf(stderr, "A reply states no length: %.*s\n", static_cast<int>(head), text.data());
    std::exit(1);
  }

  void Read(Connection& connection) {
    char space[65536];
    ssize_t got = ::recv(connection.fd, space, sizeof space, 0);
    if (got <= 0) return Fail(connection, "the connection was closed");
    connection.received.append(space, static_cast<size_t>(got));
    size_t head = connection.received.find("\r\n\r\n");
    if (head == std::string::npos) return;
    if (!IsComplete(connection, head)) return;
    if (connection.received.compare(9, 3, "200") != 0) {
      if (++failures_ == 1) first_failure_ = connection.received.substr(0, 400);
    }
    latencies_.push_back(std::chrono::duration<double, std::micro>(Clock::now() - connection.due).count());
    connection.received.clear();
    connection.busy = false;
  }

  const uint16_t port_;
  const std::string request_;
  std::vector<Connection> connections_;
  const double rate_;
  const int poll_;
  const bool spins_ = HasOwnCore();
  Clock::time_point begin_, next_;
  double elapsed_ = 0;
  size_t failures_ = 0;
  std::string first_failure_;
  std::vector<double> latencies_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 7) {
    std::fprintf(stderr, "usage: %s PORT PATH CONTENT_TYPE BODY_FILE CONNECTIONS SECONDS [RATE [HEADERS_FILE]]\n",
                 argv[0]);
    return 2;
  }
  std::ostringstream body, headers;
  body << std::ifstream(argv[4], std::ios::binary).rdbuf();
  if (argc > 8) headers << std::ifstream(argv[8], std::ios::binary).rdbuf();
  std::string request = "POST " + std::string(argv[2]) + " HTTP/1.1\r\nHost: 127.0.0.1:" + argv[1] +
                        "\r\nContent-Type: " + argv[3] + "\r\nContent-Length: " + std::to_string(body.str().size()) +
                        "\r\n" + headers.str() + "\r\n" + body.str();
  Load load(static_cast<uint16_t>(std::atoi(argv[1])), request, static_cast<size_t>(std::atoi(argv[5])),
            argc > 7 ? std::atof(argv[7]) : 0);
  load.Run(std::atof(argv[6]));
  load.Print();
  return 0;
}
