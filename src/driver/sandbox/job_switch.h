#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"
#include "io/file.h"

namespace sagebrush::driver {

// The network between the instances of one job: a bridge in a network namespace of its own, held by a holder process.
// Whichever agent of the job comes first starts the holder; it ends by itself, leaving nothing, when the last agent
// that joined is gone, however that one ended.
//
// Files in `directory`: <key>.make (taken while looking or making), <key>.users (read-locked by each agent; the holder
// waits for the write lock, and having it, ends), <key>.holder (locked by the holder while it is of use; its identity).
struct JobSwitch {
  io::UniqueFd membership;         // keep open as long as the instance lives
  io::UniqueFd network_namespace;  // with the bridge kSwitchBridge in it
  io::UniqueFd user_namespace;     // its owner, when this user is not root
};

inline constexpr char kSwitchBridge[] = "br0";

Result<JobSwitch> JoinSwitch(const std::filesystem::path& directory, const std::string& key, bool rootless);

}  // namespace sagebrush::driver
