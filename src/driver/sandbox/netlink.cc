#include "driver/sandbox/netlink.h"

#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace sagebrush::driver {
namespace {

// As large as a packet can be, as on the loopback interface: nothing but this machine's memory is behind these links.
// With Ethernet's 1500 bytes TCP takes twice the CPU for a byte.
constexpr uint32_t kMtu = 65'535;

}  // namespace

Result<Netlink> Netlink::Open() {
  io::UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd) return Fail(FromErrno(errno, "cannot open a netlink socket"));
  return Netlink(std::move(fd));
}

void Netlink::Pad() { buffer_.resize((buffer_.size() + 3) & ~size_t{3}); }

void Netlink::Put(const void* data, size_t size) {
  const char* bytes = static_cast<const char*>(data);
  buffer_.insert(buffer_.end(), bytes, bytes + size);
  Pad();
}

void Netlink::Attribute(uint16_t type, const void* data, size_t size) {
  rtattr header{static_cast<unsigned short>(sizeof(rtattr) + size), type};
  Put(&header, sizeof header);
  Put(data, size);
}

void Netlink::Text(uint16_t type, std::string_view text) {
  std::string terminated(text);
  Attribute(type, terminated.c_str(), terminated.size() + 1);
}

size_t Netlink::BeginNest(uint16_t type) {
  size_t at = buffer_.size();
  rtattr header{0, type};
  Put(&header, sizeof header);
  return at;
}

void Netlink::EndNest(size_t at) {
  auto length = static_cast<unsigned short>(buffer_.size() - at);
  std::memcpy(buffer_.data() + at + offsetof(rtattr, rta_len), &length, sizeof length);
}

template <class Body>
void Netlink::Begin(uint16_t type, uint16_t flags, const Body& body) {
  Pad();
  message_at_ = buffer_.size();
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
  header.nlmsg_seq = ++sequence_;
  Put(&header, sizeof header);
  Put(&body, sizeof body);
}

void Netlink::End() {
  auto length = static_cast<uint32_t>(buffer_.size() - message_at_);
  std::memcpy(buffer_.data() + message_at_ + offsetof(nlmsghdr, nlmsg_len), &length, sizeof length);
  ++queued_;
}

void Netlink::AddBridge(std::string_view name) {
  ifinfomsg info{};
  info.ifi_flags = info.ifi_change = IFF_UP;
  Begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, info);
  Text(IFLA_IFNAME, name);
  size_t link_info = BeginNest(IFLA_LINKINFO);
  Text(IFLA_INFO_KIND, "bridge");
  EndNest(link_info);
  End();
}

void Netlink::AddVeth(std::string_view name, int master, std::string_view peer, int peer_namespace) {
  ifinfomsg info{};
  info.ifi_flags = info.ifi_change = IFF_UP;
  Begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, info);
  Text(IFLA_IFNAME, name);
  Attribute(IFLA_MTU, &kMtu, sizeof kMtu);
  if (master != 0) Attribute(IFLA_MASTER, &master, sizeof master);
  size_t link_info = BeginNest(IFLA_LINKINFO);
  Text(IFLA_INFO_KIND, "veth");
  size_t data = BeginNest(IFLA_INFO_DATA);
  size_t other = BeginNest(VETH_INFO_PEER);
  ifinfomsg peer_info{};
  peer_info.ifi_index = 2;
  Put(&peer_info, sizeof peer_info);
  Text(IFLA_IFNAME, peer);
  Attribute(IFLA_MTU, &kMtu, sizeof kMtu);
  if (peer_namespace >= 0) Attribute(IFLA_NET_NS_FD, &peer_namespace, sizeof peer_namespace);
  EndNest(other);
  EndNest(data);
  EndNest(link_info);
  End();
}

void Netlink::Raise(int interface_index) {
  ifinfomsg info{};
  info.ifi_index = interface_index;
  info.ifi_flags = info.ifi_change = IFF_UP;
  Begin(RTM_NEWLINK, 0, info);
  End();
}

void Netlink::AddAddress(int interface_index, uint32_t address, int prefix_length) {
  ifaddrmsg message{};
  message.ifa_family = AF_INET;
  message.ifa_prefixlen = static_cast<uint8_t>(prefix_length);
  message.ifa_index = static_cast<uint32_t>(interface_index);
  uint32_t wire = htonl(address);
  Begin(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, message);
  Attribute(IFA_LOCAL, &wire, sizeof wire);
  Attribute(IFA_ADDRESS, &wire, sizeof wire);
  End();
}

Result<void> Netlink::Send(std::string_view what) {
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  ssize_t sent =
      ::sendto(fd_.get(), buffer_.data(), buffer_.size(), 0, reinterpret_cast<sockaddr*>(&kernel), sizeof kernel);
  int first_error = sent < 0 ? errno : 0;
  int left = sent < 0 ? 0 : queued_;
  buffer_.clear();
  queued_ = 0;
  alignas(nlmsghdr) char reply[16 * 1024];
  while (left > 0) {
    ssize_t got = ::recv(fd_.get(), reply, sizeof reply, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Fail(FromErrno(errno, what));
    auto size = static_cast<uint32_t>(got);
    for (auto* header = reinterpret_cast<nlmsghdr*>(reply); NLMSG_OK(header, size); header = NLMSG_NEXT(header, size)) {
      if (header->nlmsg_type != NLMSG_ERROR) continue;
      --left;
      int error = -static_cast<nlmsgerr*>(NLMSG_DATA(header))->error;
      if (error != 0 && first_error == 0) first_error = error;
    }
  }
  if (first_error != 0) return Fail(FromErrno(first_error, what));
  return {};
}

int Netlink::InterfaceIndex(std::string_view name) {
  ifreq request{};
  if (name.size() >= sizeof request.ifr_name) return 0;
  std::memcpy(request.ifr_name, name.data(), name.size());
  // Any socket of the namespace will do; this one belongs to it.
  return ::ioctl(fd_.get(), SIOCGIFINDEX, &request) == 0 ? request.ifr_ifindex : 0;
}

}  // namespace sagebrush::driver
