#include "driver/sandbox/control_channel.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <span>

#include "io/descriptor_passing.h"

namespace sagebrush::driver {

Result<void> ControlChannel::Send(const boost::json::object& message, const std::vector<int>& descriptors) {
  if (descriptors.size() > kMaxDescriptors) return Fail(Internal("too many descriptors for one message"));
  std::string body = boost::json::serialize(message);
  auto length = static_cast<uint32_t>(body.size());
  body.insert(0, reinterpret_cast<const char*>(&length), sizeof length);
  std::string_view left = body;
  std::span<const int> unsent(descriptors);
  while (!left.empty()) {
    ssize_t sent = io::SendWithDescriptors(fd_.get(), left, unsent);
    if (sent < 0) return Fail(FromErrno(errno, "the instance does not answer"));
    left.remove_prefix(static_cast<size_t>(sent));
    unsent = {};
  }
  return {};
}

bool ControlChannel::Receive() {
  char bytes[16 * 1024];
  std::vector<io::UniqueFd> came;
  ssize_t got = io::ReceiveWithDescriptors(fd_.get(), bytes, kMaxDescriptors, came);
  if (got <= 0) return false;
  std::ranges::move(came, std::back_inserter(descriptors_));
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
