#include "driver/sandbox/instance_files.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/check.h"
#include "base/text.h"

namespace sagebrush::driver {
namespace fs = std::filesystem;

std::string ProcessIdentity::ToString() const { return std::to_string(pid) + ":" + std::to_string(start_time); }

std::optional<ProcessIdentity> ProcessIdentity::Parse(std::string_view text) {
  size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::optional<int64_t> pid = ParseInt(text.substr(0, colon)), start = ParseInt(text.substr(colon + 1));
  if (!pid || !start || *pid <= 0) return std::nullopt;
  return ProcessIdentity{static_cast<pid_t>(*pid), static_cast<uint64_t>(*start)};
}

ProcessIdentity ProcessIdentity::Of(pid_t pid) {
  Result<std::string> stat = io::ReadFile("/proc/" + std::to_string(pid) + "/stat");
  if (!stat) return {pid, 0};
  // The command name may hold anything; the fields after its last parenthesis do not.
  size_t at = stat->rfind(')');
  if (at == std::string::npos || at + 2 > stat->size()) return {pid, 0};
  std::vector<std::string_view> fields = Split(std::string_view(*stat).substr(at + 2), ' ');
  if (fields.size() < 20) return {pid, 0};
  return {pid, static_cast<uint64_t>(ParseInt(fields[19]).value_or(0))};
}

io::UniqueFd OpenProcess(const ProcessIdentity& identity) {
  if (identity.pid <= 0) return {};
  io::UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, identity.pid, 0)));
  // The descriptor came first, so the comparison cannot be of one process and the descriptor of another.
  if (!fd || ProcessIdentity::Of(identity.pid).start_time != identity.start_time) return {};
  return fd;
}

Result<void> KillAndWait(const ProcessIdentity& identity, int deadline_ms) {
  io::UniqueFd fd = OpenProcess(identity);
  if (!fd) return {};
  if (::syscall(SYS_pidfd_send_signal, fd.get(), SIGKILL, nullptr, 0) != 0 && errno != ESRCH) {
    return Fail(FromErrno(errno, "cannot kill process " + std::to_string(identity.pid)));
  }
  pollfd waiting{fd.get(), POLLIN, 0};
  int ready;
  do {
    ready = ::poll(&waiting, 1, deadline_ms);
  } while (ready < 0 && errno == EINTR);
  if (ready == 1) return {};
  return Fail(Error(ErrorKind::kUnavailable, "process " + std::to_string(identity.pid) +
                                                 " does not end after SIGKILL; it may wait for a disk."));
}

Result<io::UniqueFd> TryLock(const fs::path& file) {
  TRY(io::UniqueFd fd, io::Open(file, O_RDWR | O_CREAT, 0600));
  struct flock lock{};
  lock.l_type = F_WRLCK;
  if (::fcntl(fd.get(), F_OFD_SETLK, &lock) == 0) return fd;
  if (errno == EAGAIN || errno == EACCES) {
    return Fail(Error(ErrorKind::kFailedPrecondition, file.string() + " is locked by another process."));
  }
  return Fail(FromErrno(errno, "cannot lock " + file.string()));
}

bool IsLocked(const fs::path& file) {
  Result<io::UniqueFd> fd = io::Open(file, O_RDWR);
  if (!fd) return false;
  struct flock lock{};
  lock.l_type = F_WRLCK;
  return ::fcntl(fd->get(), F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

sockaddr_un UnixAddressIn(int directory, const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::string path = "/proc/self/fd/" + std::to_string(directory) + "/" + name;
  CHECK(path.size() < sizeof address.sun_path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

std::string JobKey(const InstanceId& id) {
  size_t dot = id.value().rfind('.');
  return dot == std::string::npos ? id.value() : id.value().substr(0, dot);
}

Result<void> RemoveStubbornTree(const fs::path& path) {
  if (Result<void> removed = io::RemoveTree(path); removed) return {};
  std::error_code error;
  ::chmod(path.c_str(), 0700);
  for (auto it = fs::recursive_directory_iterator(path, fs::directory_options::skip_permission_denied, error);
       it != fs::recursive_directory_iterator(); it.increment(error)) {
    if (error) break;
    // Before the iterator descends, so that it can.
    if (it->is_directory(error) && !it->is_symlink(error)) ::chmod(it->path().c_str(), 0700);
  }
  return io::RemoveTree(path);
}

}  // namespace sagebrush::driver
