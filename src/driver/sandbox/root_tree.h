#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "driver/driver.h"
#include "driver/sandbox/instance_files.h"
#include "io/file.h"

namespace sagebrush::driver {

// The file tree that an instance sees: the host's, with a private upper layer; without the host's temporary files,
// homes, run-time state and engine data; with its own /opt/ml, /proc, /dev, /sys, environment and channels.
//
// Prepare() runs in the agent and touches only the instance's directory. Mount() runs in the instance's init, in its
// new mount namespace. As root the whole of / is one overlay, and what is hidden is an opaque directory of the upper
// layer; an ordinary user's namespace cannot do that, so there each top-level directory is bound or overlaid alone.
class RootTree {
 public:
  struct Options {
    InstanceFiles files;
    const InstanceSpec* spec = nullptr;  // outlives this
    bool rootless = false;
    uid_t uid = 0;  // whom the instance's root is outside; 0 when rootless
    gid_t gid = 0;
    int user_namespace = -1;                    // that maps 0 to uid; -1 when rootless
    std::vector<std::filesystem::path> hidden;  // besides /tmp, /run, /root, /home
  };
  explicit RootTree(Options options) : options_(std::move(options)) {}

  Result<void> Prepare();
  // Leaves the caller with the new tree as its root and working directory.
  Result<void> Mount();
  // Defence in depth, last: what it covers belongs to the host's root, whom the program is not.
  static void Mask();

 private:
  Result<void> PrepareUpper();
  Result<void> PrepareEtc(const std::filesystem::path& etc);
  Result<void> PrepareDaemon();
  std::filesystem::path DaemonLayer() const;
  Result<void> MakeUpper(const std::filesystem::path& path, mode_t mode, bool opaque, bool owned);
  Result<std::filesystem::path> MakeMountPoint(const std::filesystem::path& path, bool directory);
  Result<void> MountRootOverlay();
  Result<void> MountRootlessTree();
  Result<void> HideRootless();
  Result<void> MountEnvironment();
  Result<void> MountChannels();
  Result<void> AttachCheckpoints(int tree);
  Result<void> MountOverlayOf(const std::filesystem::path& lower, const std::string& layer_name,
                              const std::filesystem::path& target, bool channel);
  Result<void> MountDevices();
  Result<void> MountKernelFileSystems();
  Result<void> MountLimits();
  Result<void> Pivot();
  std::filesystem::path Inside(const std::filesystem::path& path) const;
  bool IsOwned(const std::filesystem::path& path) const;

  Options options_;
};

}  // namespace sagebrush::driver
