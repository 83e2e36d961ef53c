#include "objstore/blob_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/random.h"
#include "base/text.h"

namespace sagebrush::objstore {
namespace fs = std::filesystem;
namespace {

constexpr size_t kCopyChunk = 1 << 20;

std::string BootId() {
  Result<std::string> id = io::ReadFile("/proc/sys/kernel/random/boot_id");
  return id ? *id : RandomHex(16);  // unknown: the cache is never trusted
}

Result<std::set<std::string, std::less<>>> Subdirectories(const fs::path& directory) {
  std::set<std::string, std::less<>> names;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    if (it->is_directory(error)) names.insert(it->path().filename().string());
  }
  if (error) return Fail(FromErrno(error.value(), "cannot list " + directory.string()));
  return names;
}

Result<void> SweepDirectory(const fs::path& directory, const std::set<std::string>& named) {
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    std::string name = it->path().filename().string();
    if (named.contains(name)) continue;
    if (::unlink(it->path().c_str()) != 0 && errno != ENOENT) {
      return Fail(FromErrno(errno, "cannot remove the leftover " + it->path().string()));
    }
  }
  if (error) return Fail(FromErrno(error.value(), "cannot list " + directory.string()));
  return {};
}

}  // namespace

Result<void> BlobFiles::Prepare() {
  TRYV(io::MakeDirectories(directory_, 0700));
  fs::path marker = directory_ / "inline" / "boot_id";
  Result<std::string> cached = io::ReadFile(marker);
  std::string boot_id = BootId();
  if (!cached || *cached != boot_id) TRYV(io::RemoveTree(directory_ / "inline"));
  TRYV(io::MakeDirectories(directory_ / "blobs", 0700));
  TRYV(io::MakeDirectories(directory_ / "inline", 0700));
  TRYV(io::WriteFile(marker, boot_id, 0600));
  TRYV(io::SyncDirectory(directory_ / "blobs"));
  TRY(durable_->names, Subdirectories(directory_ / "blobs"));
  return io::SyncDirectory(directory_);
}

Result<void> BlobFiles::EnsureBlobDirectory(std::string_view xx) const {
  std::lock_guard lock(durable_->mutex);
  if (durable_->names.contains(xx)) return {};
  TRYV(io::MakeDirectories(directory_ / "blobs" / xx, 0700));
  TRYV(io::SyncDirectory(directory_ / "blobs"));
  durable_->names.emplace(xx);
  return {};
}

Result<void> BlobFiles::Sweep(const std::function<Result<std::set<std::string>>(const std::string&)>& named_blobs,
                              const std::function<Result<std::set<std::string>>(const std::string&)>& named_inline) {
  auto sweep = [](const fs::path& directory, const auto& named) -> Result<void> {
    TRY(auto fan, Subdirectories(directory));
    for (const std::string& xx : fan) {
      TRY(std::set<std::string> names, named(xx));
      TRYV(SweepDirectory(directory / xx, names));
    }
    return {};
  };
  TRYV(sweep(directory_ / "blobs", named_blobs));
  return sweep(directory_ / "inline", named_inline);
}

fs::path BlobFiles::BlobPath(std::string_view name) const { return directory_ / "blobs" / name.substr(0, 2) / name; }
fs::path BlobFiles::CachePath(std::string_view name) const { return directory_ / "inline" / name.substr(0, 2) / name; }

fs::path BlobFiles::TemporaryPath(std::string_view name) const {
  return directory_ / "blobs" / name.substr(0, 2) / ("." + std::string(name));
}

void BlobFiles::Drop(std::string_view name, bool in_file) const {
  FAILPOINT("objstore.before_unlink");
  fs::path path = in_file ? BlobPath(name) : CachePath(name);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    Log(LogLevel::kWarning, "blob_not_removed",
        {{"path", path.string()}, {"error", FromErrno(errno, "unlink").message}});
  }
  FAILPOINT("objstore.after_unlink");
}

Result<io::UniqueFd> BlobFiles::CreateTemporary(std::string_view name) const {
  TRYV(EnsureBlobDirectory(name.substr(0, 2)));
  return io::Open(TemporaryPath(name), O_RDWR | O_CREAT | O_EXCL, 0600);
}

Result<void> BlobFiles::Own(int fd) const {
  if ((owner_.uid != ::geteuid() || owner_.gid != ::getegid()) && ::fchown(fd, owner_.uid, owner_.gid) != 0) {
    return Fail(FromErrno(errno, "cannot give a blob file to its owner " + std::to_string(owner_.uid)));
  }
  if (::fchmod(fd, 0644) != 0) return Fail(FromErrno(errno, "cannot set the mode of a blob file"));
  return {};
}

Result<void> BlobFiles::OwnDirectory(const fs::path& directory) const {
  if (owner_.uid == ::geteuid() && owner_.gid == ::getegid()) return {};
  if (::lchown(directory.c_str(), owner_.uid, owner_.gid) != 0) {
    return Fail(FromErrno(errno, "cannot give " + directory.string() + " to its owner " + std::to_string(owner_.uid)));
  }
  return {};
}

Result<void> BlobFiles::Publish(std::string_view name, int fd) const {
  TRYV(Own(fd));
  FAILPOINT("objstore.before_blob_sync");
  // fsync, not fdatasync: the owner and mode have to survive as well.
  if (::fsync(fd) != 0) return Fail(FromErrno(errno, "cannot sync a blob file"));
  FAILPOINT("objstore.before_blob_rename");
  if (::rename(TemporaryPath(name).c_str(), BlobPath(name).c_str()) != 0) {
    return Fail(FromErrno(errno, "cannot name a blob file"));
  }
  FAILPOINT("objstore.after_blob_rename");
  TRYV(io::SyncDirectory(BlobPath(name).parent_path()));
  FAILPOINT("objstore.after_blob_sync");
  return {};
}

Result<void> BlobFiles::Cache(std::string_view name, std::string_view bytes) const {
  fs::path path = CachePath(name);
  fs::path temporary = path.parent_path() / ("." + RandomHex(8));
  Result<io::UniqueFd> made = io::Open(temporary, O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (!made && made.error().kind == ErrorKind::kNotFound) {
    TRYV(io::MakeDirectories(path.parent_path(), 0700));
    made = io::Open(temporary, O_WRONLY | O_CREAT | O_EXCL, 0600);
  }
  TRY(io::UniqueFd fd, std::move(made));
  Result<void> written = io::WriteAll(fd.get(), bytes);
  if (written) written = Own(fd.get());
  if (written && ::rename(temporary.c_str(), path.c_str()) != 0) {
    written = Fail(FromErrno(errno, "cannot name a cached content"));
  }
  if (!written) ::unlink(temporary.c_str());
  return written;
}

Result<void> BlobFiles::LinkOrCopy(const fs::path& from, const fs::path& to) const {
  if (::link(from.c_str(), to.c_str()) == 0) return {};
  auto exists = [&to] { return Fail(Error(ErrorKind::kAlreadyExists, to.string() + " exists already.")); };
  if (errno == EEXIST) return exists();
  if (errno != EXDEV && errno != EMLINK && errno != EPERM) {
    return Fail(FromErrno(errno, "cannot link " + from.string() + " to " + to.string()));
  }
  TRY(io::UniqueFd source, io::Open(from, O_RDONLY));
  struct stat status{};
  if (::fstat(source.get(), &status) != 0) return Fail(FromErrno(errno, "cannot stat " + from.string()));
  int fd = ::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0 && errno == EEXIST) return exists();
  if (fd < 0) return Fail(FromErrno(errno, "cannot make " + to.string()));
  io::UniqueFd target(fd);
  Result<void> copied = CopyBytes(source.get(), target.get(), static_cast<uint64_t>(status.st_size));
  if (copied) copied = Own(target.get());
  if (!copied) ::unlink(to.c_str());
  return copied;
}

Result<void> CopyBytes(int from, int to, uint64_t length) {
  bool in_kernel = true;
  std::string buffer;
  while (length > 0) {
    ssize_t moved = -1;
    if (in_kernel) {
      moved = ::copy_file_range(from, nullptr, to, nullptr, std::min<uint64_t>(length, 1 << 30), 0);
      if (moved < 0 && (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP)) {
        in_kernel = false;
        buffer.resize(kCopyChunk);
        continue;
      }
    } else {
      moved = ::read(from, buffer.data(), std::min<uint64_t>(length, buffer.size()));
      if (moved > 0) TRYV(io::WriteAll(to, std::string_view(buffer.data(), static_cast<size_t>(moved))));
    }
    if (moved < 0 && errno == EINTR) continue;
    if (moved < 0) return Fail(FromErrno(errno, "cannot copy file contents"));
    if (moved == 0) return Fail(Error(ErrorKind::kDataLoss, "A stored content is shorter than its recorded size."));
    length -= static_cast<uint64_t>(moved);
  }
  return {};
}

Staging::Staging(const BlobFiles& files) : files_(files), name_(RandomHex(16)) {}

Staging::~Staging() {
  if (kept_ || !file_) return;
  ::unlink(files_.TemporaryPath(name_).c_str());
  ::unlink(files_.BlobPath(name_).c_str());
}

Result<void> Staging::Spill() {
  TRY(file_, files_.CreateTemporary(name_));
  TRYV(io::WriteAll(file_.get(), inline_bytes_));
  inline_bytes_ = {};
  return {};
}

Result<void> Staging::Append(std::string_view data) {
  if (!file_ && inline_bytes_.size() + data.size() <= ObjectStore::kInlineBytes) {
    inline_bytes_.append(data);
  } else {
    if (!file_) TRYV(Spill());
    TRYV(io::WriteAll(file_.get(), data));
  }
  size_ += data.size();
  return {};
}

Result<void> Staging::AppendFile(int fd, uint64_t length) {
  if (!file_ && inline_bytes_.size() + length <= ObjectStore::kInlineBytes) {
    std::string bytes(static_cast<size_t>(length), '\0');
    for (size_t done = 0; done < bytes.size();) {
      ssize_t got = ::read(fd, bytes.data() + done, bytes.size() - done);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return Fail(FromErrno(errno, "cannot read a stored content"));
      if (got == 0) return Fail(Error(ErrorKind::kDataLoss, "A stored content is shorter than its recorded size."));
      done += static_cast<size_t>(got);
    }
    return Append(bytes);
  }
  if (!file_) TRYV(Spill());
  TRYV(CopyBytes(fd, file_.get(), length));
  size_ += length;
  return {};
}

Result<void> Staging::AdoptLink(const fs::path& path, uint64_t size) {
  TRYV(files_.EnsureBlobDirectory(name_.substr(0, 2)));
  fs::path temporary = files_.TemporaryPath(name_);
  if (::link(path.c_str(), temporary.c_str()) != 0) return Fail(FromErrno(errno, "cannot link " + path.string()));
  Result<io::UniqueFd> file = io::Open(temporary, O_RDONLY | O_NOFOLLOW);
  if (!file) {
    ::unlink(temporary.c_str());
    return Fail(std::move(file).error());
  }
  file_ = std::move(*file);
  size_ = size;
  return {};
}

Result<void> Staging::Seal() {
  if (!file_) return {};
  return files_.Publish(name_, file_.get());
}

}  // namespace sagebrush::objstore
