#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <system_error>

#include "base/random.h"
#include "driver/sandbox/cgroup.h"
#include "driver/sandbox/netlink.h"
#include "driver/sandbox/sandbox_driver.h"
#include "driver/sandbox/user_namespace.h"

namespace sagebrush::driver {
namespace {

namespace fs = std::filesystem;

// Runs `probe` in a child and gives back what it reports: namespaces entered there go with it.
Result<void> InChild(const std::function<Result<void>()>& probe) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Fail(FromErrno(errno, "cannot make a pipe"));
  io::UniqueFd reader(ends[0]), writer(ends[1]);
  pid_t child = ::fork();
  if (child < 0) return Fail(FromErrno(errno, "cannot fork"));
  if (child == 0) {
    Result<void> result = probe();
    if (!result) static_cast<void>(io::WriteAll(writer.get(), result.error().message));
    ::_exit(result ? 0 : 1);
  }
  writer.Reset();
  std::string message;
  char buffer[512];
  ssize_t got;
  while ((got = ::read(reader.get(), buffer, sizeof buffer)) > 0) message.append(buffer, static_cast<size_t>(got));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return Fail(Error(ErrorKind::kUnavailable, message.empty() ? "the probe died" : message));
}

Result<void> ProbeUserNamespace() {
  if (::geteuid() != 0) return InChild([] { return EnterOwnUserNamespace(CLONE_NEWNS); });
  TRY(io::UniqueFd fd, MakeUserNamespace(100'000, 100'000));
  return {};
}

Result<void> EnterMounts() {
  if (::geteuid() != 0) return EnterOwnUserNamespace(CLONE_NEWNS | CLONE_NEWNET);
  if (::unshare(CLONE_NEWNS | CLONE_NEWNET) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return Fail(FromErrno(errno, "cannot make a mount and a network namespace"));
  }
  return {};
}

Result<void> ProbeOverlay(const fs::path& directory) {
  std::error_code error;
  if (!fs::is_directory(directory, error)) return Fail(NotFound("There is no directory " + directory.native() + "."));
  bool root = ::geteuid() == 0;  // asked before the child becomes root of its own namespace
  fs::path work = directory / (".trash-probe-" + RandomHex(4));
  for (const char* name : {"lower", "up", "wk", "mnt"}) TRYV(io::MakeDirectories(work / name));
  Result<void> probed = InChild([&]() -> Result<void> {
    TRYV(EnterMounts());
    std::string data = "lowerdir=" + (work / "lower").native() + ",upperdir=" + (work / "up").native() +
                       ",workdir=" + (work / "wk").native() + ",volatile" + (root ? "" : ",userxattr");
    if (::mount("overlay", (work / "mnt").c_str(), "overlay", 0, data.c_str()) == 0) return {};
    return Fail(FromErrno(errno, "cannot mount an overlay on this file system"));
  });
  static_cast<void>(RemoveStubbornTree(work));
  return probed;
}

Result<void> ProbeNetwork() {
  return InChild([]() -> Result<void> {
    TRYV(EnterMounts());
    TRY(Netlink netlink, Netlink::Open());
    netlink.AddBridge("probe0");
    TRYV(netlink.Send("cannot make a bridge"));
    netlink.AddVeth("probe1", netlink.InterfaceIndex("probe0"), "probe2", -1);
    return netlink.Send("cannot make a veth pair");
  });
}

Result<void> ProbeMountApi() {
  return InChild([]() -> Result<void> {
    TRYV(EnterMounts());
    io::UniqueFd tree(
        static_cast<int>(::syscall(SYS_open_tree, AT_FDCWD, "/", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE)));
    if (!tree) return Fail(FromErrno(errno, "cannot clone a mount"));
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_RDONLY;
    if (::syscall(SYS_mount_setattr, tree.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof attributes) ==
        0) {
      return {};
    }
    return Fail(FromErrno(errno, "cannot set a mount's attributes (mount_setattr, Linux 5.12)"));
  });
}

Result<void> ProbeClone3() {
  int pidfd = -1;
  clone_args arguments{};
  arguments.flags = CLONE_PIDFD;
  arguments.exit_signal = SIGCHLD;
  arguments.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  auto child = static_cast<pid_t>(::syscall(SYS_clone3, &arguments, sizeof arguments));
  if (child == 0) ::_exit(0);
  if (child < 0) return Fail(FromErrno(errno, "cannot call clone3"));
  io::UniqueFd closing(pidfd);
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  return {};
}

Requirement Judge(std::string name, const Result<void>& probed, bool mandatory, std::string found, std::string remedy) {
  if (probed) return {std::move(name), true, mandatory, std::move(found), ""};
  return {std::move(name), false, mandatory, probed.error().message, std::move(remedy)};
}

Requirement JudgeLimits() {
  ResourceLimits limits;
  limits.memory_bytes = 64 << 20;
  limits.vcpus = 0.5;
  std::string name = "probe-" + RandomHex(4);
  Cgroup cgroup = Cgroup::Create(name, limits);
  std::string notes;
  for (const std::string& note : cgroup.notes()) notes += (notes.empty() ? "" : "; ") + note;
  Cgroup::Remove(name);
  return {
      "memory, cpu and process limits (control groups)", notes.empty(), false, notes.empty() ? "writable" : notes,
      notes.empty() ? "" : "run the engine as root, or: systemd-run --user --scope -p Delegate=yes sagebrush serve"};
}

Requirement JudgeDisk(const fs::path& directory) {
  struct statvfs status{};
  if (::statvfs(directory.c_str(), &status) != 0) {
    return {"free disk space", false, true, FromErrno(errno, "cannot look at " + directory.native()).message,
            "mkdir -p " + directory.native()};
  }
  uint64_t free_mib = static_cast<uint64_t>(status.f_bavail) * status.f_frsize >> 20;
  bool enough = free_mib >= 2048;
  return {"free disk space", enough, true, std::to_string(free_mib) + " MiB free at " + directory.native(),
          enough ? "" : "free at least 2 GiB, or set another data directory"};
}

}  // namespace

std::vector<Requirement> ProbeSandboxRequirements(const fs::path& agent_binary, const fs::path& instances_directory) {
  bool root = ::geteuid() == 0;
  std::vector<Requirement> found;
  bool executable = ::access(agent_binary.c_str(), X_OK) == 0;
  found.push_back({"the program sagebrush-agent", executable, true,
                   agent_binary.native() + (executable ? "" : " is not there"),
                   executable ? "" : "build it: cmake --build --preset release --target sagebrush-agent"});
  found.push_back(Judge("clone3 and process descriptors", ProbeClone3(), true, "works",
                        "run Linux 5.12 or newer, and allow clone3 if this is itself a container"));
  found.push_back(Judge("user namespaces", ProbeUserNamespace(), true, root ? "as root" : "as an ordinary user",
                        "sudo sysctl -w user.max_user_namespaces=15000 kernel.unprivileged_userns_clone=1 "
                        "kernel.apparmor_restrict_unprivileged_userns=0"));
  found.push_back(
      Judge("the mount interface of Linux 5.12", ProbeMountApi(), true, "works", "run Linux 5.12 or newer"));
  found.push_back(
      Judge("overlay mounts", ProbeOverlay(instances_directory), true, "works",
            "sudo modprobe overlay; as an ordinary user Linux 5.11 or newer is needed, and a data directory "
            "that is not itself on an overlay"));
  found.push_back(Judge("virtual networks (bridge, veth)", ProbeNetwork(), true, "works", "sudo modprobe bridge veth"));
  found.push_back(JudgeLimits());
  found.push_back(JudgeDisk(instances_directory));
  return found;
}

}  // namespace sagebrush::driver
