#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/result.h"
#include "io/file.h"

namespace sagebrush::http {

struct Listener {
  io::UniqueFd socket;
  int family = 0;
  uint16_t port = 0;  // TCP
};

// Bound and listening. Errors name the address and what to do.
Result<Listener> ListenTcp(const std::string& address, uint16_t port);
// Mode 0666. Replaces the socket file of a process that died; kAlreadyExists when one lives.
Result<Listener> ListenUnix(const std::filesystem::path& path);

}  // namespace sagebrush::http
