#include "serving/handlers/worker_message.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>
#include <vector>

#include "io/descriptor_passing.h"

namespace sagebrush::serving {
namespace {

// In the machine's order: both ends are on it.
struct Prefix {
  uint32_t head_bytes = 0;
  uint32_t shared = 0;
  uint64_t body_bytes = 0;
};
static_assert(sizeof(Prefix) == 16);

Fail Ended() { return Fail(Error(ErrorKind::kUnavailable, "the handler's process has ended")); }

// Until the socket is ready for `events`. What a worker wrote before it ended is still read.
Result<void> AwaitSocket(int socket, short events, const WorkerWait& wait) {
  using std::chrono::milliseconds;
  while (true) {
    auto left = wait.deadline - std::chrono::steady_clock::now();
    if (left <= left.zero()) return Fail(Error(ErrorKind::kDeadlineExceeded, "the handler took too long"));
    auto pause = std::min<std::chrono::steady_clock::duration>(left, std::chrono::seconds(1));
    pollfd waiting[] = {{socket, events, 0}, {wait.process, POLLIN, 0}, {wait.stop, POLLIN, 0}};
    int ready = ::poll(waiting, 3, static_cast<int>(std::chrono::ceil<milliseconds>(pause).count()));
    if (ready < 0 && errno != EINTR) return Fail(FromErrno(errno, "cannot wait for the handler's process"));
    if (ready > 0 && waiting[0].revents != 0) return {};
    if (ready > 0 && waiting[2].revents != 0) {
      return Fail(Error(ErrorKind::kCancelled, "the server is stopping"));
    }
    if (ready > 0 && waiting[1].revents != 0) return Ended();
    if (wait.on_pause) wait.on_pause();
  }
}

Result<io::UniqueFd> SharedBody(std::string_view body) {
  io::UniqueFd file(::memfd_create("request", MFD_CLOEXEC));
  if (!file) return Fail(FromErrno(errno, "cannot make shared memory for a request"));
  TRYV(io::WriteAll(file.get(), body));
  if (::lseek(file.get(), 0, SEEK_SET) < 0) return Fail(FromErrno(errno, "cannot rewind shared memory"));
  return file;
}

// Sends all of `bytes`, the descriptor (if any) with the first of them.
Result<void> SendAll(int socket, std::string_view bytes, int descriptor, const WorkerWait& wait) {
  while (!bytes.empty()) {
    std::span<const int> descriptors(&descriptor, descriptor >= 0 ? 1 : 0);
    ssize_t sent = io::SendWithDescriptors(socket, bytes, descriptors);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
      descriptor = -1;
    } else if (errno == EAGAIN) {
      TRYV(AwaitSocket(socket, POLLOUT, wait));
    } else {
      return Ended();
    }
  }
  return {};
}

Result<void> ReceiveAll(int socket, char* to, size_t size, io::UniqueFd* descriptor, const WorkerWait& wait) {
  while (size > 0) {
    std::vector<io::UniqueFd> came;
    ssize_t got = io::ReceiveWithDescriptors(socket, {to, size}, 1, came);
    if (got > 0) {
      if (!came.empty() && descriptor != nullptr) *descriptor = std::move(came.front());
      to += got;
      size -= static_cast<size_t>(got);
    } else if (got == 0 || errno != EAGAIN) {
      return Ended();
    } else {
      TRYV(AwaitSocket(socket, POLLIN, wait));
    }
  }
  return {};
}

}  // namespace

Result<void> SendToWorker(int socket, std::string_view head, std::string_view body, const WorkerWait& wait) {
  bool shared = body.size() >= kSharedFromBytes;
  Prefix prefix{static_cast<uint32_t>(head.size()), shared ? 1U : 0U, body.size()};
  std::string bytes(reinterpret_cast<const char*>(&prefix), sizeof prefix);
  bytes += head;
  if (!shared) {
    bytes += body;
    return SendAll(socket, bytes, -1, wait);
  }
  TRY(io::UniqueFd file, SharedBody(body));
  return SendAll(socket, bytes, file.get(), wait);
}

Result<WorkerMessage> ReceiveFromWorker(int socket, const WorkerWait& wait) {
  Prefix prefix;
  io::UniqueFd file;
  TRYV(ReceiveAll(socket, reinterpret_cast<char*>(&prefix), sizeof prefix, &file, wait));
  bool shared = prefix.shared != 0;
  if (prefix.head_bytes > kMostHeadBytes || shared != static_cast<bool>(file) ||
      (!shared && prefix.body_bytes >= kSharedFromBytes)) {
    return Fail(Error(ErrorKind::kUnavailable, "the handler's process sent a broken message"));
  }
  WorkerMessage message;
  message.head.resize(prefix.head_bytes);
  TRYV(ReceiveAll(socket, message.head.data(), message.head.size(), nullptr, wait));
  if (!shared) {
    message.body.resize(prefix.body_bytes);
    TRYV(ReceiveAll(socket, message.body.data(), message.body.size(), nullptr, wait));
    return message;
  }
  struct stat facts{};
  if (::fstat(file.get(), &facts) == 0 && static_cast<uint64_t>(facts.st_size) == prefix.body_bytes) {
    TRY(message.body, io::ReadAt(file.get(), 0, prefix.body_bytes));
  }
  if (message.body.size() != prefix.body_bytes) {
    return Fail(Error(ErrorKind::kUnavailable, "the handler's process sent a broken message"));
  }
  return message;
}

}  // namespace sagebrush::serving
