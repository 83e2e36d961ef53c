#include "driver/sandbox/control_channel.h"

#include <sys/socket.h>

#include <boost/json.hpp>
#include <cerrno>
#include <cstdint>
#include <cstring>

namespace sagebrush::driver {

Result<void> ControlChannel::Send(const boost::json::object& message, int descriptor) {
  std::string body = boost::json::serialize(message);
  auto length = static_cast<uint32_t>(body.size());
  body.insert(0, reinterpret_cast<const char*>(&length), sizeof length);
  std::string_view left = body;
  while (!left.empty()) {
    iovec part{const_cast<char*>(left.data()), left.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    if (descriptor >= 0) {
      header.msg_control = control;
      header.msg_controllen = sizeof control;
      cmsghdr* ancillary = CMSG_FIRSTHDR(&header);
      ancillary->cmsg_level = SOL_SOCKET;
      ancillary->cmsg_type = SCM_RIGHTS;
      ancillary->cmsg_len = CMSG_LEN(sizeof(int));
      std::memcpy(CMSG_DATA(ancillary), &descriptor, sizeof descriptor);
    }
    ssize_t sent = ::sendmsg(fd_.get(), &header, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return Fail(FromErrno(errno, "the instance does not answer"));
    left.remove_prefix(static_cast<size_t>(sent));
    descriptor = -1;
  }
  return {};
}

bool ControlChannel::Receive() {
  char bytes[16 * 1024];
  iovec part{bytes, sizeof bytes};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ssize_t got;
  do {
    got = ::recvmsg(fd_.get(), &header, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got <= 0) return false;
  for (cmsghdr* item = CMSG_FIRSTHDR(&header); item != nullptr; item = CMSG_NXTHDR(&header, item)) {
    if (item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS) continue;
    int descriptor = -1;
    std::memcpy(&descriptor, CMSG_DATA(item), sizeof descriptor);
    descriptor_ = io::UniqueFd(descriptor);
  }
  buffer_.append(bytes, static_cast<size_t>(got));
  return true;
}

std::optional<boost::json::object> ControlChannel::Next() {
  uint32_t length = 0;
  if (buffer_.size() < sizeof length) return std::nullopt;
  std::memcpy(&length, buffer_.data(), sizeof length);
  if (buffer_.size() < sizeof length + length) return std::nullopt;
  boost::system::error_code error;
  boost::json::value value = boost::json::parse({buffer_.data() + sizeof length, length}, error);
  buffer_.erase(0, sizeof length + length);
  if (error || !value.is_object()) return boost::json::object{};
  return std::move(value.get_object());
}

}  // namespace sagebrush::driver
