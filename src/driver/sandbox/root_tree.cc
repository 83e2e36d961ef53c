#include "driver/sandbox/root_tree.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include "driver/sandbox/cgroup.h"

namespace sagebrush::driver {
namespace {

namespace fs = std::filesystem;

struct HiddenDirectory {
  const char* path;
  mode_t mode;
};
constexpr HiddenDirectory kAlwaysHidden[] = {
    {"/tmp", 01777}, {"/var/tmp", 01777}, {"/run", 0755}, {"/root", 0700}, {"/home", 0755}};
// Where scripts running as root expect to create files; the directories belong to the instance, their content not.
constexpr const char* kOwnedDirectories[] = {"/etc", "/opt", "/srv", "/mnt", "/usr/local", "/usr/local/bin"};
constexpr const char* kRootlessOverlays[] = {"etc", "opt", "srv", "var", "mnt"};
constexpr const char* kDaemonDirectory = "/usr/sbin";

Result<void> MountFs(const char* type, const fs::path& target, unsigned long flags, const std::string& data) {
  if (data.size() >= 4096) return Fail(InvalidArgument("The data directory's path is too long for an overlay mount."));
  if (::mount(type, target.c_str(), type, flags, data.empty() ? nullptr : data.c_str()) == 0) return {};
  return Fail(FromErrno(errno, std::string("cannot mount ") + type + " on " + target.string()));
}

Result<void> Bind(const fs::path& source, const fs::path& target, bool recursive) {
  if (::mount(source.c_str(), target.c_str(), nullptr, MS_BIND | (recursive ? MS_REC : 0), nullptr) == 0) return {};
  return Fail(FromErrno(errno, "cannot bind " + source.string()));
}

// A detached copy of the mounts at `source` with `attributes` set.
Result<io::UniqueFd> CloneTree(const fs::path& source, uint64_t attributes, int user_namespace = -1) {
  io::UniqueFd tree(static_cast<int>(
      ::syscall(SYS_open_tree, AT_FDCWD, source.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE)));
  if (!tree) return Fail(FromErrno(errno, "cannot open " + source.string()));
  mount_attr attr{};
  attr.attr_set = attributes;
  if (user_namespace >= 0) {
    attr.attr_set |= MOUNT_ATTR_IDMAP;
    attr.userns_fd = static_cast<uint64_t>(user_namespace);
  }
  if (::syscall(SYS_mount_setattr, tree.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr) != 0) {
    return Fail(FromErrno(errno, "cannot set the attributes of " + source.string()));
  }
  return tree;
}

Result<void> Attach(int tree, const fs::path& target) {
  if (::syscall(SYS_move_mount, tree, "", AT_FDCWD, target.c_str(), MOVE_MOUNT_F_EMPTY_PATH) == 0) return {};
  return Fail(FromErrno(errno, "cannot attach a mount at " + target.string()));
}

Result<void> BindReadOnly(const fs::path& source, const fs::path& target) {
  TRY(io::UniqueFd tree, CloneTree(source, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV));
  return Attach(tree.get(), target);
}

// As overlay's option parser wants a path.
std::string OverlayPath(const fs::path& path) {
  std::string out;
  for (char c : path.native()) {
    if (c == '\\' || c == ':' || c == ',') out += '\\';
    out += c;
  }
  return out;
}

Result<void> MakeDirectory(const fs::path& path, mode_t mode, uid_t uid, gid_t gid) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return Fail(FromErrno(errno, "cannot make " + path.string()));
  }
  if (::chown(path.c_str(), uid, gid) != 0 || ::chmod(path.c_str(), mode) != 0) {
    return Fail(FromErrno(errno, "cannot set the owner and mode of " + path.string()));
  }
  return {};
}

bool IsBelow(const fs::path& path, const fs::path& directory) {
  auto [end, rest] = std::mismatch(directory.begin(), directory.end(), path.begin(), path.end());
  return end == directory.end();
}

}  // namespace

fs::path RootTree::Inside(const fs::path& path) const { return options_.files.root() / "mnt" / path.relative_path(); }

bool RootTree::IsOwned(const fs::path& path) const {
  return std::any_of(std::begin(kOwnedDirectories), std::end(kOwnedDirectories),
                     [&](const char* owned) { return path == owned; });
}

// --- Prepare: plain files and directories --------------------------------------------------------------------------

Result<void> RootTree::Prepare() {
  fs::path root = options_.files.root();
  TRYV(RemoveStubbornTree(root));
  for (const char* name : {"", "up", "wk", "mnt", "lower", "layers"}) TRYV(io::MakeDirectories(root / name, 0755));
  auto layer = [&](const std::string& name) -> Result<void> {
    TRYV(io::MakeDirectories(root / "lower" / name, 0755));
    TRYV(io::MakeDirectories(root / "layers" / name / "wk", 0755));
    return MakeDirectory(root / "layers" / name / "up", 0755, options_.uid, options_.gid);
  };
  if (!options_.spec->environment.venv.empty()) TRYV(layer("venv"));
  for (const Channel& channel : options_.spec->channels) TRYV(layer("channel-" + channel.name));
  return PrepareUpper();
}

Result<void> RootTree::PrepareEtc(const fs::path& etc) {
  std::string hosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
  for (int host = 1; host <= options_.spec->count; ++host) {
    hosts += "10.77." + std::to_string(host >> 8) + "." + std::to_string(host & 255) + "\talgo-" +
             std::to_string(host) + "\n";
  }
  for (const auto& [name, text] :
       {std::pair{"hosts", hosts}, std::pair{"hostname", "algo-" + std::to_string(options_.spec->rank + 1) + "\n"},
        // The SDK's MPI driver adds its variables to this one.
        std::pair{"environment", std::string()}}) {
    TRYV(io::WriteFile(etc / name, text, 0644));
    if (::chown((etc / name).c_str(), options_.uid, options_.gid) != 0) {
      return Fail(FromErrno(errno, "cannot set the owner of /etc/" + std::string(name)));
    }
  }
  return {};
}

Result<void> RootTree::PrepareUpper() {
  fs::path up = options_.files.root() / "up";
  if (options_.rootless) {
    for (const char* name : kRootlessOverlays) {
      TRYV(io::MakeDirectories(up / name));
      TRYV(io::MakeDirectories(options_.files.root() / "layers" / name / "wk"));
    }
    for (const HiddenDirectory& hidden : kAlwaysHidden) {
      TRYV(io::MakeDirectories(up / fs::path(hidden.path).relative_path()));
      ::chmod((up / fs::path(hidden.path).relative_path()).c_str(), hidden.mode);
    }
    TRYV(io::MakeDirectories(up / "opt/ml"));
    TRYV(PrepareDaemon());
    return PrepareEtc(up / "etc");
  }
  for (const HiddenDirectory& hidden : kAlwaysHidden) TRYV(MakeUpper(hidden.path, hidden.mode, true, true));
  for (const fs::path& hidden : options_.hidden) {
    std::error_code error;
    fs::path real = fs::canonical(hidden, error);
    if (!error && fs::is_directory(real, error)) TRYV(MakeUpper(real, 0755, true, false));
  }
  for (const char* owned : kOwnedDirectories) {
    if (fs::is_directory(fs::symlink_status(owned))) TRYV(MakeUpper(owned, 0755, false, true));
  }
  for (const char* plain : {"/opt/ml", "/proc", "/sys", "/dev"}) TRYV(MakeUpper(plain, 0755, false, false));
  TRYV(PrepareDaemon());
  return PrepareEtc(up / "etc");
}

// The name by which the SDK's MPI driver starts its daemon leads to ours; the host's, if there is one, could not run.
Result<void> RootTree::PrepareDaemon() {
  std::error_code error;
  fs::path daemon = options_.spec->commands / "sshd", place = kDaemonDirectory;
  if (options_.spec->commands.empty() || !fs::is_regular_file(daemon, error)) return {};
  if (!fs::is_directory(fs::symlink_status(place, error))) return {};
  fs::path layer = options_.rootless ? DaemonLayer() : options_.files.root() / "up" / place.relative_path();
  TRYV(options_.rootless ? io::MakeDirectories(layer) : MakeUpper(place, 0755, false, false));
  if (::symlink(daemon.c_str(), (layer / "sshd").c_str()) == 0) return {};
  return Fail(FromErrno(errno, "cannot make " + (place / "sshd").string()));
}

fs::path RootTree::DaemonLayer() const { return options_.files.root() / "layers" / "daemon"; }

// Makes `path` in the upper layer, with those of its parents that are not there yet as copies of the host's. A parent
// that an ordinary user could not pass becomes 0755 but opaque: passable, and nothing of the host is seen in it.
Result<void> RootTree::MakeUpper(const fs::path& path, mode_t mode, bool opaque, bool owned) {
  fs::path upper = options_.files.root() / "up", host = "/";
  bool hidden_above = false;
  for (auto it = ++path.begin(); it != path.end(); ++it) {
    upper /= *it;
    host /= *it;
    bool last = std::next(it) == path.end();
    if (fs::is_directory(fs::symlink_status(upper))) {
      char mark = 0;
      hidden_above = hidden_above || ::getxattr(upper.c_str(), "trusted.overlay.opaque", &mark, 1) == 1;
      if (!last) continue;
    }
    struct stat on_host{};
    bool exists = !hidden_above && ::lstat(host.c_str(), &on_host) == 0 && S_ISDIR(on_host.st_mode);
    bool passable = exists && (on_host.st_mode & S_IXOTH) != 0;
    bool mark_opaque = (last && opaque) || (exists && !passable && !last);
    bool mine = (last && owned) || IsOwned(host);
    uid_t uid = mine ? options_.uid : exists ? on_host.st_uid : 0;
    gid_t gid = mine ? options_.gid : exists ? on_host.st_gid : 0;
    mode_t made_mode = last && (opaque || !exists) ? mode : passable ? on_host.st_mode & 07777 : 0755;
    TRYV(MakeDirectory(upper, made_mode, uid, gid));
    if (mark_opaque && !hidden_above) {
      if (::setxattr(upper.c_str(), "trusted.overlay.opaque", "y", 1, 0) != 0) {
        return Fail(FromErrno(errno, "cannot hide " + host.string()));
      }
      hidden_above = true;
    }
  }
  return {};
}

// --- Mount: in the instance's init ---------------------------------------------------------------------------------

Result<void> RootTree::Mount() {
  // Before anything covers the directories that these lie in.
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return Fail(FromErrno(errno, "cannot make the mounts private"));
  }
  TRYV(options_.rootless ? MountRootlessTree() : MountRootOverlay());
  TRYV(Bind(options_.files.ml(), Inside("/opt/ml"), false));
  ::mount(nullptr, Inside("/opt/ml").c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV, nullptr);
  TRYV(MountEnvironment());
  TRYV(MountChannels());
  TRYV(MountKernelFileSystems());
  TRYV(MountDevices());
  const Checkpoints& checkpoints = options_.spec->checkpoints;
  if (checkpoints.directory.empty()) return Pivot();
  TRY(io::UniqueFd tree, CloneTree(checkpoints.directory, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID));
  TRYV(Pivot());
  return AttachCheckpoints(tree.get());
}

// The user chose the place. By now links in it lead nowhere but within the instance.
Result<void> RootTree::AttachCheckpoints(int tree) {
  fs::path target;
  for (const fs::path& part : options_.spec->checkpoints.path) {
    target /= part;
    if (::mkdir(target.c_str(), 0755) != 0) {
      if (errno == EEXIST) continue;
      return Fail(FromErrno(errno, "cannot make " + target.string() + " (CheckpointConfig.LocalPath)"));
    }
    if (::chown(target.c_str(), options_.uid, options_.gid) != 0) {
      return Fail(FromErrno(errno, "cannot set the owner of " + target.string()));
    }
  }
  return Attach(tree, target);
}

Result<void> RootTree::MountRootOverlay() {
  // The environment's mount points must be in the upper layer before it is mounted; which they are is known here.
  std::vector<fs::path> points = options_.spec->environment.read_only;
  if (!options_.spec->environment.venv.empty()) points.push_back(options_.spec->environment.venv);
  for (const fs::path& point : points) TRYV(MakeMountPoint(point, fs::is_directory(point)));
  fs::path root = options_.files.root();
  return MountFs(
      "overlay", root / "mnt", 0,
      "lowerdir=/,upperdir=" + OverlayPath(root / "up") + ",workdir=" + OverlayPath(root / "wk") + ",volatile");
}

Result<fs::path> RootTree::MakeMountPoint(const fs::path& path, bool directory) {
  std::error_code error;
  if (!path.is_absolute() || !fs::exists(path, error)) {
    return Fail(NotFound("The environment's path " + path.string() + " does not exist on this machine."));
  }
  if (options_.rootless) {
    fs::path inside = Inside(path);
    if (fs::exists(inside, error)) return inside;
    TRYV(io::MakeDirectories(directory ? inside : inside.parent_path()));
    if (!directory) TRYV(io::WriteFile(inside, ""));
    return inside;
  }
  if (directory) {
    TRYV(MakeUpper(path, 0755, false, false));
  } else {
    TRYV(MakeUpper(path.parent_path(), 0755, false, false));
    TRYV(io::WriteFile(options_.files.root() / "up" / path.relative_path(), ""));
  }
  return Inside(path);
}

Result<void> RootTree::MountRootlessTree() {
  fs::path root = options_.files.root(), mnt = root / "mnt";
  TRYV(MountFs("tmpfs", mnt, 0, "mode=755"));
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator("/", error)) {
    std::string name = entry.path().filename();
    fs::path target = mnt / name;
    if (entry.is_symlink(error)) {
      fs::create_symlink(fs::read_symlink(entry.path(), error), target, error);
      continue;
    }
    if (!entry.is_directory(error) || name == "lost+found") continue;
    TRYV(io::MakeDirectories(target));
    bool own = std::any_of(std::begin(kAlwaysHidden), std::end(kAlwaysHidden),
                           [&](const HiddenDirectory& hidden) { return "/" + name == hidden.path; });
    if (own || name == "proc" || name == "sys" || name == "dev") continue;
    bool overlaid = false;
    for (const char* overlay : kRootlessOverlays) {
      if (name != overlay) continue;
      overlaid = MountFs("overlay", target, 0,
                         "lowerdir=" + OverlayPath(entry.path()) + ",upperdir=" + OverlayPath(root / "up" / name) +
                             ",workdir=" + OverlayPath(root / "layers" / name / "wk") + ",volatile,userxattr")
                     .has_value();
    }
    if (!overlaid) TRYV(BindReadOnly(entry.path(), target));
  }
  if (fs::is_directory(DaemonLayer(), error)) {
    TRYV(MountFs("overlay", Inside(kDaemonDirectory), MS_RDONLY | MS_NOSUID | MS_NODEV,
                 "lowerdir=" + OverlayPath(DaemonLayer()) + ":" + kDaemonDirectory + ",userxattr"));
  }
  return HideRootless();
}

Result<void> RootTree::HideRootless() {
  fs::path up = options_.files.root() / "up";
  for (const HiddenDirectory& hidden : kAlwaysHidden) {
    fs::path target = Inside(hidden.path);
    std::error_code error;
    if (fs::is_directory(target, error)) TRYV(Bind(up / fs::path(hidden.path).relative_path(), target, false));
  }
  for (const fs::path& hidden : options_.hidden) {
    std::error_code error;
    fs::path real = fs::canonical(hidden, error);
    if (error) continue;
    bool covered = std::any_of(std::begin(kAlwaysHidden), std::end(kAlwaysHidden),
                               [&](const HiddenDirectory& always) { return IsBelow(real, always.path); });
    if (!covered && fs::is_directory(Inside(real), error)) TRYV(MountFs("tmpfs", Inside(real), 0, "mode=755"));
  }
  return {};
}

Result<void> RootTree::MountEnvironment() {
  const Environment& environment = options_.spec->environment;
  for (const fs::path& path : environment.read_only) {
    fs::path target = Inside(path);
    if (options_.rootless) {
      TRY(target, MakeMountPoint(path, fs::is_directory(path)));
    }
    TRYV(BindReadOnly(path, target));
  }
  if (environment.venv.empty()) return {};
  fs::path target = Inside(environment.venv);
  if (options_.rootless) {
    TRY(target, MakeMountPoint(environment.venv, true));
  }
  return MountOverlayOf(environment.venv, "venv", target, false);
}

Result<void> RootTree::MountChannels() {
  for (const Channel& channel : options_.spec->channels) {
    TRYV(MountOverlayOf(channel.links, "channel-" + channel.name, Inside("/opt/ml/input/data") / channel.name, true));
  }
  return {};
}

// `lower` shown at `target`, writable, itself unchanged. Files that belong to root outside belong to root inside, by
// an idmapped mount; where the file system has none, they stay readable but cannot be changed in place.
Result<void> RootTree::MountOverlayOf(const fs::path& lower, const std::string& layer_name, const fs::path& target,
                                      bool channel) {
  fs::path root = options_.files.root(), layer = root / "layers" / layer_name, shown = lower;
  struct stat status{};
  if (::stat(lower.c_str(), &status) != 0) return Fail(FromErrno(errno, "cannot read " + lower.string()));
  if (options_.user_namespace >= 0 && status.st_uid != options_.uid) {
    if (Result<io::UniqueFd> tree = CloneTree(lower, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID, options_.user_namespace)) {
      shown = root / "lower" / layer_name;
      TRYV(Attach(tree->get(), shown));
    }
  }
  std::string data = "lowerdir=" + OverlayPath(shown) + ",upperdir=" + OverlayPath(layer / "up") +
                     ",workdir=" + OverlayPath(layer / "wk") + ",volatile";
  // Changing a mode or owner then copies no data. The kernel refuses both together with userxattr.
  data += options_.rootless ? ",userxattr" : channel ? ",metacopy=on,redirect_dir=on" : "";
  return MountFs("overlay", target, MS_NOSUID | MS_NODEV, data);
}

Result<void> RootTree::MountKernelFileSystems() {
  TRYV(MountFs("proc", Inside("/proc"), MS_NOSUID | MS_NODEV | MS_NOEXEC, ""));
  Result<void> sys = MountFs("sysfs", Inside("/sys"), MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, "");
  if (!sys && options_.rootless) sys = BindReadOnly("/sys", Inside("/sys"));
  return sys ? MountLimits() : sys;
}

// Where programs look for how many threads they should run, the instance's limit: as a file of text, since the groups
// themselves are the host's, of either version, and not every machine lets an instance have one.
Result<void> RootTree::MountLimits() {
  fs::path target = Inside("/sys/fs/cgroup");
  std::error_code error;
  if (!fs::is_directory(target, error)) return {};
  constexpr unsigned long kFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  TRYV(MountFs("tmpfs", target, kFlags, "mode=755,size=64k"));
  TRYV(io::WriteFile(target / "cpu.max", CpuMax(options_.spec->limits) + "\n", 0444));
  if (::mount(nullptr, target.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | kFlags, nullptr) == 0) return {};
  return Fail(FromErrno(errno, "cannot make /sys/fs/cgroup read-only"));
}

Result<void> RootTree::MountDevices() {
  struct Node {
    const char* name;
    unsigned major, minor;
  };
  static constexpr Node kNodes[] = {{"null", 1, 3},   {"zero", 1, 5},    {"full", 1, 7},
                                    {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};
  fs::path dev = Inside("/dev");
  TRYV(MountFs("tmpfs", dev, MS_NOSUID | MS_NOEXEC, "mode=755,size=64k"));
  for (const Node& node : kNodes) {
    fs::path path = dev / node.name;
    if (options_.rootless) {
      TRYV(io::WriteFile(path, ""));
      TRYV(Bind(fs::path("/dev") / node.name, path, false));
    } else if (::mknod(path.c_str(), S_IFCHR | 0666, makedev(node.major, node.minor)) != 0 ||
               ::chmod(path.c_str(), 0666) != 0) {
      return Fail(FromErrno(errno, "cannot make " + path.string()));
    }
  }
  static constexpr std::pair<const char*, const char*> kLinks[] = {{"/proc/self/fd", "fd"},
                                                                   {"/proc/self/fd/0", "stdin"},
                                                                   {"/proc/self/fd/1", "stdout"},
                                                                   {"/proc/self/fd/2", "stderr"},
                                                                   {"pts/ptmx", "ptmx"}};
  for (const auto& [to, name] : kLinks) {
    if (::symlink(to, (dev / name).c_str()) != 0) return Fail(FromErrno(errno, "cannot make /dev links"));
  }
  TRYV(io::MakeDirectories(dev / "pts"));
  TRYV(io::MakeDirectories(dev / "shm"));
  TRYV(MountFs("devpts", dev / "pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"));
  return MountFs("tmpfs", dev / "shm", MS_NOSUID | MS_NODEV, "mode=1777,size=50%");
}

Result<void> RootTree::Pivot() {
  fs::path mnt = options_.files.root() / "mnt";
  if (::chdir(mnt.c_str()) != 0 || ::syscall(SYS_pivot_root, ".", ".") != 0 || ::umount2(".", MNT_DETACH) != 0 ||
      ::chdir("/") != 0) {
    return Fail(FromErrno(errno, "cannot enter the instance's file tree"));
  }
  return {};
}

void RootTree::Mask() {
  for (const char* path : {"/proc/sys", "/proc/irq", "/proc/bus"}) {
    Result<io::UniqueFd> tree =
        CloneTree(path, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    if (tree) static_cast<void>(Attach(tree->get(), path));
  }
  for (const char* path : {"/proc/sysrq-trigger", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/kmsg"}) {
    ::mount("/dev/null", path, nullptr, MS_BIND, nullptr);
  }
}

}  // namespace sagebrush::driver
