#pragma once

#include <boost/json/object.hpp>
#include <optional>
#include <string>

#include "base/result.h"
#include "io/file.h"

namespace sagebrush::driver {

// The socket between an agent and its instance's init: JSON objects, each after its length (4 bytes, host order).
// Requests to init: exec {argv, env, cwd} · task {name} · signal {signal} · kill_all. Events from it: ready (with the
// listening socket of the engine's endpoint as ancillary data) · failed {message} · ended {status} · quiet.
class ControlChannel {
 public:
  explicit ControlChannel(io::UniqueFd fd) : fd_(std::move(fd)) {}

  int fd() const { return fd_.get(); }
  Result<void> Send(const boost::json::object& message, int descriptor = -1);
  // Blocks for more bytes; false when the other side is gone.
  bool Receive();
  // The next whole message that was received; nullopt for none.
  std::optional<boost::json::object> Next();
  io::UniqueFd TakeDescriptor() { return std::move(descriptor_); }
  void Close() { fd_.Reset(); }

 private:
  io::UniqueFd fd_, descriptor_;
  std::string buffer_;
};

}  // namespace sagebrush::driver
