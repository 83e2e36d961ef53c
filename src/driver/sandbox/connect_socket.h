#pragma once

#include <cstdint>

#include "base/result.h"
#include "driver/sandbox/instance_files.h"
#include "io/file.h"

// How the engine comes to a connection into an instance (Driver::Connect): it sends a port, and one end of a socket
// pair for the answer, to the instance's connect.sock. The agent, which is in the instance's network, begins to connect
// and hands the socket over at once; whether something listens, the socket itself tells the one who asked. So the agent
// never waits, keeps nothing, and no byte of the connection passes through it.
namespace sagebrush::driver {

// The agent's side. The process must be in the instance's network.
class ConnectSocket {
 public:
  static Result<ConnectSocket> Open(const InstanceFiles& files);
  int fd() const { return fd_.get(); }
  // Answers what waits, or the first of it when that is much; never blocks.
  void Serve() const;

 private:
  explicit ConnectSocket(io::UniqueFd fd) : fd_(std::move(fd)) {}
  io::UniqueFd fd_;
};

// The other side: a connection to 127.0.0.1:port inside, non-blocking. kUnavailable when no agent answers, when nothing
// listens, or when neither has come to a result after `deadline_ms`.
Result<io::UniqueFd> RequestConnection(const InstanceFiles& files, uint16_t port, int64_t deadline_ms);

}  // namespace sagebrush::driver
