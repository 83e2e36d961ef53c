#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace sagebrush::http {

// Whom a client asks us, as its proxy, to reach.
struct ProxyTarget {
  std::string host;  // lower case, no port, no brackets
  uint16_t port = 0;
  bool local = false;          // asked over the engine's Unix socket: from inside an instance
  bool peer_loopback = false;  // asked over TCP from this machine
};

struct ProxyDecision {
  enum class Action {
    kIntercept,  // answer in that host's place, with a certificate of our own authority
    kTunnel,     // pass the bytes (CONNECT) or the request (plain HTTP) on
    kRefuse,     // 403 with `reason`
  };
  Action action = Action::kTunnel;
  std::string reason;
  // Whether the name may resolve to a loopback or a link-local address (the latter has cloud metadata services).
  bool allow_loopback = false;
};

using ConnectPolicy = std::function<ProxyDecision(const ProxyTarget&)>;

// Whether the engine stands in for this AWS host: sagemaker (api., runtime.), s3 and its virtual hosts, logs,
// monitoring, sts, iam, under amazonaws.com.
bool IsInterceptedHost(const std::string& host);

// Intercepts IsInterceptedHost, tunnels everything else for programs on this machine and in its instances, and refuses
// to be a proxy for the rest of the network. Instances do not reach this machine's own services through it.
ProxyDecision DefaultConnectPolicy(const ProxyTarget& target);

}  // namespace sagebrush::http
