#pragma once

#include <poll.h>

#include <filesystem>
#include <list>
#include <string>
#include <vector>

#include "io/file.h"

namespace sagebrush::agent {

// Carries connections made to kEngineEndpoint inside the instance to the engine's Unix socket, byte for byte, with
// half-closes. Nothing is retried or stored: while the engine is away, connections are refused. In an isolated job it
// passes requests to the engine itself only: CONNECT and absolute-form requests get 403, and each connection carries
// one request ("Connection: close" is put in), so that no later one slips through unread. TLS passes whole: under it
// the engine is no proxy.
class EngineProxy {
 public:
  EngineProxy(io::UniqueFd listener, std::filesystem::path engine_socket, bool isolated);

  // Appends what to poll; Serve is then given the same entries (in the same order) with their revents.
  void AddTo(std::vector<pollfd>& waiting) const;
  void Serve(const pollfd* entries, size_t count);
  size_t connections() const { return connections_.size(); }

 private:
  struct Direction {
    std::string pending;  // read from one side, not yet written to the other
    bool source_ended = false, ended = false;
  };
  struct Connection {
    io::UniqueFd inside, engine;
    Direction up, down;  // to the engine, to the program
    bool head_checked = false;
    bool broken = false;
  };

  void Accept();
  io::UniqueFd ConnectToEngine() const;
  void CheckHead(Connection& connection) const;
  void Move(Connection& connection, short inside_events, short engine_events) const;
  static bool Pump(int from, int to, Direction& direction, bool readable, bool hold);

  io::UniqueFd listener_;
  std::filesystem::path engine_socket_;
  bool isolated_;
  std::list<Connection> connections_;
};

}  // namespace sagebrush::agent
