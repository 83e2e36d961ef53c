#include "io/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "base/random.h"

namespace sagebrush::io {
namespace fs = std::filesystem;

void UniqueFd::Reset() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Result<UniqueFd> Open(const fs::path& path, int flags, mode_t mode) {
  int fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  if (fd < 0) return Fail(FromErrno(errno, "cannot open " + path.string()));
  return UniqueFd(fd);
}

Result<void> WriteAll(int fd, std::string_view data) {
  while (!data.empty()) {
    ssize_t written = ::write(fd, data.data(), data.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Fail(FromErrno(errno, "cannot write"));
    data.remove_prefix(static_cast<size_t>(written));
  }
  return {};
}

Result<std::string> ReadFile(const fs::path& path) {
  TRY(UniqueFd fd, Open(path, O_RDONLY));
  std::string content;
  char buffer[64 * 1024];
  while (true) {
    ssize_t got = ::read(fd.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Fail(FromErrno(errno, "cannot read " + path.string()));
    if (got == 0) return content;
    content.append(buffer, static_cast<size_t>(got));
  }
}

Result<std::string> ReadAt(int fd, uint64_t offset, size_t length) {
  std::string content(length, '\0');
  size_t done = 0;
  while (done < length) {
    ssize_t got = ::pread(fd, content.data() + done, length - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Fail(FromErrno(errno, "cannot read"));
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  content.resize(done);
  return content;
}

namespace {

Result<void> Replace(const fs::path& path, std::string_view data, mode_t mode, bool durable) {
  fs::path temporary = path.parent_path() / ("." + path.filename().string() + "." + RandomHex(6));
  TRY(UniqueFd fd, Open(temporary, O_WRONLY | O_CREAT | O_EXCL, mode));
  Result<void> written = WriteAll(fd.get(), data);
  if (written && durable && ::fsync(fd.get()) != 0) written = Fail(FromErrno(errno, "cannot sync " + path.string()));
  if (written && ::rename(temporary.c_str(), path.c_str()) != 0) {
    written = Fail(FromErrno(errno, "cannot replace " + path.string()));
  }
  if (!written) {
    ::unlink(temporary.c_str());
    return written;
  }
  return durable ? SyncDirectory(path.parent_path()) : Result<void>{};
}

}  // namespace

Result<void> WriteFileDurably(const fs::path& path, std::string_view data, mode_t mode) {
  return Replace(path, data, mode, true);
}

Result<void> WriteFile(const fs::path& path, std::string_view data, mode_t mode) {
  return Replace(path, data, mode, false);
}

Result<void> SyncDirectory(const fs::path& directory) {
  TRY(UniqueFd fd, Open(directory, O_RDONLY | O_DIRECTORY));
  if (::fsync(fd.get()) != 0) return Fail(FromErrno(errno, "cannot sync " + directory.string()));
  return {};
}

Result<void> MakeDirectories(const fs::path& directory, mode_t mode) {
  if (::mkdir(directory.c_str(), mode) == 0 || errno == EEXIST) return {};
  if (errno != ENOENT || !directory.has_parent_path() || directory.parent_path() == directory) {
    return Fail(FromErrno(errno, "cannot make directory " + directory.string()));
  }
  TRYV(MakeDirectories(directory.parent_path(), mode));
  if (::mkdir(directory.c_str(), mode) != 0 && errno != EEXIST) {
    return Fail(FromErrno(errno, "cannot make directory " + directory.string()));
  }
  return {};
}

Result<void> RemoveTree(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) return Fail(FromErrno(error.value(), "cannot remove " + path.string()));
  return {};
}

}  // namespace sagebrush::io
