#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/file.h"

namespace sagebrush::driver {

// The few rtnetlink requests that an instance's network needs, batched: Send() puts all queued requests into one
// datagram and reads every acknowledgement. The socket belongs to the network namespace it was opened in, for ever.
class Netlink {
 public:
  static Result<Netlink> Open();

  void AddBridge(std::string_view name);  // and raises it
  // A pair, of the largest MTU: `name` here, raised and a port of `master` (0: of none); `peer` as interface 2 of the
  // namespace `peer_namespace` (negative: here). The peer is raised later, inside: raising it in this request is
  // ENOTCONN.
  void AddVeth(std::string_view name, int master, std::string_view peer, int peer_namespace);
  void Raise(int interface_index);
  void AddAddress(int interface_index, uint32_t address, int prefix_length);  // IPv4, host byte order
  Result<void> Send(std::string_view what);
  // 0 when there is none.
  int InterfaceIndex(std::string_view name);

 private:
  explicit Netlink(io::UniqueFd fd) : fd_(std::move(fd)) {}
  void Pad();
  void Put(const void* data, size_t size);
  void Attribute(uint16_t type, const void* data, size_t size);
  void Text(uint16_t type, std::string_view text);
  size_t BeginNest(uint16_t type);
  void EndNest(size_t at);
  template <class Body>
  void Begin(uint16_t type, uint16_t flags, const Body& body);
  void End();

  io::UniqueFd fd_;
  std::vector<char> buffer_;
  size_t message_at_ = 0;
  uint32_t sequence_ = 0;
  int queued_ = 0;
};

}  // namespace sagebrush::driver
