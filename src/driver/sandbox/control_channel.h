#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/file.h"

namespace sagebrush::driver {

// A socket that carries JSON objects, each after its length (4 bytes, host order), and descriptors with them: between
// an agent and its instance's init, and between agents and the `ssh` of an instance (agent/remote_shell.h). Requests to
// init: exec {argv, env, cwd} · companion {the same} · remote {the same, id; with its standard input, output and error}
// · task {name} · signal {signal} · signal_ranks {signal} · signal_remote {id, signal} · kill_all. Events from it:
// ready (with the listening sockets of the engine's endpoint and of the remote shell) · failed {message} · ended
// {status} · companion_ended {status} · remote_ended {id, status} · quiet.
class ControlChannel {
 public:
  static constexpr size_t kMaxDescriptors = 3;  // that come with one message

  // A peer that announces a longer message than `max_message_bytes`, or sends descriptors that nobody takes, counts as
  // gone: for peers that are not trusted.
  explicit ControlChannel(io::UniqueFd fd, size_t max_message_bytes = size_t{1} << 30)
      : fd_(std::move(fd)), max_message_bytes_(max_message_bytes) {}

  int fd() const { return fd_.get(); }
  Result<void> Send(const boost::json::object& message, const std::vector<int>& descriptors = {});
  // Blocks for more bytes; false when the other side is gone.
  bool Receive();
  // The next whole message that was received; nullopt for none.
  std::optional<boost::json::object> Next();
  // The descriptors that came, one by one in their order; an empty one when there is none left.
  io::UniqueFd TakeDescriptor();
  void Close() { fd_.Reset(); }

 private:
  io::UniqueFd fd_;
  size_t max_message_bytes_;
  std::deque<io::UniqueFd> descriptors_;
  std::string buffer_;
};

}  // namespace sagebrush::driver
