#include "driver/sandbox/job_switch.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "driver/sandbox/instance_files.h"
#include "driver/sandbox/netlink.h"
#include "driver/sandbox/user_namespace.h"

namespace sagebrush::driver {
namespace {

namespace fs = std::filesystem;

struct SwitchFiles {
  fs::path make, users, holder;
};

Result<void> Lock(int fd, short type, bool wait) {
  struct flock lock{};
  lock.l_type = type;
  int result;
  do {
    result = ::fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock);
  } while (result != 0 && errno == EINTR);
  if (result != 0) return Fail(FromErrno(errno, "cannot lock the job's network"));
  return {};
}

// The bridge's frames need no look by the rules for IP packets, of which this namespace has none: every look would cost
// a tenth of the frame's way. A kernel without that feature has no such files.
void SpareFrames() {
  for (const char* file : {"iptables", "ip6tables", "arptables"}) {
    Result<io::UniqueFd> fd = io::Open(std::string("/proc/sys/net/bridge/bridge-nf-call-") + file, O_WRONLY);
    if (fd) static_cast<void>(io::WriteAll(fd->get(), "0"));
  }
}

Result<void> BuildSwitch(bool rootless) {
  if (rootless) {
    TRYV(EnterOwnUserNamespace(CLONE_NEWNET));
  } else if (::unshare(CLONE_NEWNET) != 0) {
    return Fail(FromErrno(errno, "cannot make the job's network namespace"));
  }
  SpareFrames();
  TRY(Netlink netlink, Netlink::Open());
  netlink.AddBridge(kSwitchBridge);
  return netlink.Send("cannot make the job's bridge");
}

// The holder: reports "" or what went wrong, then waits for the last user to go.
[[noreturn]] void Hold(const SwitchFiles& files, bool rootless, io::UniqueFd report, int membership_to_close) {
  ::close(membership_to_close);
  ::setsid();
  ::prctl(PR_SET_NAME, "sagebrush-net");
  io::UniqueFd lock, users;
  Result<void> built = [&]() -> Result<void> {
    TRY(users, io::Open(files.users, O_RDWR));
    TRY(lock, TryLock(files.holder));
    TRYV(BuildSwitch(rootless));
    std::string identity = ProcessIdentity::Of(::getpid()).ToString();
    if (::ftruncate(lock.get(), 0) != 0) return Fail(FromErrno(errno, "cannot write " + files.holder.string()));
    return io::WriteAll(lock.get(), identity);
  }();
  static_cast<void>(io::WriteAll(report.get(), built ? "ok" : built.error().message));
  if (!built) ::_exit(1);
  // Nothing else of the agent may live on in here: not its lock, not its pipes.
  int keep = lock.get(), wait_on = users.get();
  for (int fd = 0; fd < 1024; ++fd) {
    if (fd != keep && fd != wait_on) ::close(fd);
  }
  static_cast<void>(Lock(wait_on, F_WRLCK, true));
  // A newcomer waits for the users lock, which goes with this process; by then this must be nobody's holder.
  ::unlink(files.holder.c_str());
  ::unlink(files.users.c_str());
  ::unlink(files.make.c_str());
  static_cast<void>(Lock(keep, F_UNLCK, false));
  ::_exit(0);
}

Result<void> StartHolder(const SwitchFiles& files, bool rootless, int membership) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Fail(FromErrno(errno, "cannot make a pipe"));
  io::UniqueFd reader(ends[0]), writer(ends[1]);
  pid_t child = ::fork();
  if (child < 0) return Fail(FromErrno(errno, "cannot start the holder of the job's network"));
  if (child == 0) {
    if (::fork() == 0) Hold(files, rootless, std::move(writer), membership);
    ::_exit(0);
  }
  writer.Reset();
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  std::string report;
  char buffer[512];
  ssize_t got;
  while ((got = ::read(reader.get(), buffer, sizeof buffer)) > 0 || (got < 0 && errno == EINTR)) {
    if (got > 0) report.append(buffer, static_cast<size_t>(got));
  }
  if (report == "ok") return {};
  return Fail(Error(ErrorKind::kUnavailable, report.empty() ? "the holder of the job's network died" : report));
}

// False when the file that was locked is no longer the one of that name: its holder removed it meanwhile.
bool StillThere(int fd, const fs::path& path) {
  struct stat opened{}, named{};
  return ::fstat(fd, &opened) == 0 && ::stat(path.c_str(), &named) == 0 && opened.st_ino == named.st_ino;
}

}  // namespace

Result<JobSwitch> JoinSwitch(const fs::path& directory, const std::string& key, bool rootless) {
  TRYV(io::MakeDirectories(directory, 0700));
  SwitchFiles files{directory / (key + ".make"), directory / (key + ".users"), directory / (key + ".holder")};
  for (int attempt = 0; attempt < 100; ++attempt) {
    TRY(io::UniqueFd make, io::Open(files.make, O_RDWR | O_CREAT, 0600));
    TRYV(Lock(make.get(), F_WRLCK, true));
    JobSwitch joined;
    TRY(joined.membership, io::Open(files.users, O_RDWR | O_CREAT, 0600));
    TRYV(Lock(joined.membership.get(), F_RDLCK, true));
    if (!StillThere(make.get(), files.make) || !StillThere(joined.membership.get(), files.users)) continue;
    if (!IsLocked(files.holder)) TRYV(StartHolder(files, rootless, joined.membership.get()));
    TRY(std::string text, io::ReadFile(files.holder));
    std::optional<ProcessIdentity> holder = ProcessIdentity::Parse(text);
    io::UniqueFd alive = holder ? OpenProcess(*holder) : io::UniqueFd();
    if (!alive) continue;  // killed just now
    std::string process = "/proc/" + std::to_string(holder->pid);
    TRY(joined.network_namespace, io::Open(process + "/ns/net", O_RDONLY));
    if (rootless) {
      TRY(joined.user_namespace, io::Open(process + "/ns/user", O_RDONLY));
    }
    return joined;
  }
  return Fail(Error(ErrorKind::kUnavailable, "the job's network could not be joined; look at " + directory.string()));
}

}  // namespace sagebrush::driver
