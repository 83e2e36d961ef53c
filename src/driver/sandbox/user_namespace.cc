#include "driver/sandbox/user_namespace.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "base/failpoint.h"

namespace sagebrush::driver {
namespace {

Result<void> WriteProc(const std::string& file, const std::string& text) {
  TRY(io::UniqueFd fd, io::Open(file, O_WRONLY));
  if (::write(fd.get(), text.data(), text.size()) < 0) return Fail(FromErrno(errno, "cannot write " + file));
  return {};
}

std::string Map(unsigned inside, unsigned outside, unsigned count) {
  return std::to_string(inside) + " " + std::to_string(outside) + " " + std::to_string(count);
}

}  // namespace

Result<io::UniqueFd> MakeUserNamespace(uid_t first_uid, gid_t first_gid) {
  pid_t parent = ::getpid();
  clone_args arguments{};
  arguments.flags = CLONE_NEWUSER;
  arguments.exit_signal = SIGCHLD;
  auto child = static_cast<pid_t>(::syscall(SYS_clone3, &arguments, sizeof arguments));
  if (child == 0) {
    // Only there to be looked at; killed below, or with a parent that is killed meanwhile: it would hold the instance's
    // lock for ever.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (::getppid() == parent) ::pause();
    ::_exit(1);
  }
  if (child < 0) return Fail(FromErrno(errno, "cannot make a user namespace"));
  FAILPOINT("driver.sandbox.user_namespace");
  std::string process = "/proc/" + std::to_string(child);
  Result<io::UniqueFd> opened = [&]() -> Result<io::UniqueFd> {
    TRYV(WriteProc(process + "/uid_map", Map(0, first_uid, kMappedIds)));
    TRYV(WriteProc(process + "/gid_map", Map(0, first_gid, kMappedIds)));
    return io::Open(process + "/ns/user", O_RDONLY);
  }();
  ::kill(child, SIGKILL);
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  return opened;
}

Result<void> EnterOwnUserNamespace(int more_namespaces) {
  uid_t uid = ::geteuid();
  gid_t gid = ::getegid();
  if (::unshare(CLONE_NEWUSER | more_namespaces) != 0) {
    return Fail(FromErrno(errno, "cannot make a user namespace (run `sagebrush doctor`)"));
  }
  TRYV(WriteProc("/proc/self/setgroups", "deny"));
  TRYV(WriteProc("/proc/self/uid_map", Map(0, uid, 1)));
  TRYV(WriteProc("/proc/self/gid_map", Map(0, gid, 1)));
  return {};
}

}  // namespace sagebrush::driver
