#include "driver/sandbox/control_channel.h"

#include <sys/socket.h>

#include <boost/json.hpp>
#include <cerrno>
#include <cstdint>
#include <cstring>

namespace sagebrush::driver {

Result<void> ControlChannel::Send(const boost::json::object& message, const std::vector<int>& descriptors) {
  if (descriptors.size() > kMaxDescriptors) return Fail(Internal("too many descriptors for one message"));
  size_t bytes = descriptors.size() * sizeof(int);
  std::string body = boost::json::serialize(message);
  auto length = static_cast<uint32_t>(body.size());
  body.insert(0, reinterpret_cast<const char*>(&length), sizeof length);
  std::string_view left = body;
  bool with_descriptors = bytes > 0;
  while (!left.empty()) {
    iovec part{const_cast<char*>(left.data()), left.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(kMaxDescriptors * sizeof(int))] = {};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    if (with_descriptors) {
      header.msg_control = control;
      header.msg_controllen = CMSG_SPACE(bytes);
      cmsghdr* ancillary = CMSG_FIRSTHDR(&header);
      ancillary->cmsg_level = SOL_SOCKET;
      ancillary->cmsg_type = SCM_RIGHTS;
      ancillary->cmsg_len = CMSG_LEN(bytes);
      std::memcpy(CMSG_DATA(ancillary), descriptors.data(), bytes);
    }
    ssize_t sent = ::sendmsg(fd_.get(), &header, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return Fail(FromErrno(errno, "the instance does not answer"));
    left.remove_prefix(static_cast<size_t>(sent));
    with_descriptors = false;
  }
  return {};
}

bool ControlChannel::Receive() {
  char bytes[16 * 1024];
  iovec part{bytes, sizeof bytes};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxDescriptors * sizeof(int))] = {};
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
    for (size_t at = 0; at + sizeof(int) <= item->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
      int descriptor = -1;
      std::memcpy(&descriptor, CMSG_DATA(item) + at, sizeof descriptor);
      descriptors_.emplace_back(descriptor);
    }
  }
  buffer_.append(bytes, static_cast<size_t>(got));
  uint32_t length = 0;
  if (buffer_.size() >= sizeof length) std::memcpy(&length, buffer_.data(), sizeof length);
  return length <= max_message_bytes_ && descriptors_.size() <= 4 * kMaxDescriptors;
}

io::UniqueFd ControlChannel::TakeDescriptor() {
  if (descriptors_.empty()) return {};
  io::UniqueFd first = std::move(descriptors_.front());
  descriptors_.pop_front();
  return first;
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
