#include "agent/artifacts.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <system_error>
#include <vector>

#include "io/file.h"

namespace sagebrush::agent {
namespace {

namespace fs = std::filesystem;

struct WriterDeleter {
  void operator()(archive* writer) const { archive_write_free(writer); }
};
struct EntryDeleter {
  void operator()(archive_entry* entry) const { archive_entry_free(entry); }
};

Error WriteError(archive* writer) {
  const char* text = archive_error_string(writer);
  return {ErrorKind::kUnavailable, std::string("The archive cannot be written: ") + (text ? text : "unknown error")};
}

Result<void> CheckRoot(const fs::path& directory) {
  struct stat status{};
  if (::lstat(directory.c_str(), &status) != 0) return Fail(FromErrno(errno, "cannot read " + directory.string()));
  if (S_ISDIR(status.st_mode)) return {};
  return Fail(InvalidArgument(directory.string() + " is no longer a directory; the program replaced it."));
}

Result<std::vector<fs::path>> SortedEntries(const fs::path& directory) {
  std::error_code error;
  std::vector<fs::path> entries;
  for (auto it = fs::directory_iterator(directory, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    entries.push_back(it->path());
  }
  if (error) return Fail(FromErrno(error.value(), "cannot read " + directory.string()));
  std::sort(entries.begin(), entries.end());
  return entries;
}

class Packer {
 public:
  Packer(fs::path root, archive* writer) : root_(std::move(root)), writer_(writer) {}

  Result<void> Directory(const fs::path& directory) {
    TRY(std::vector<fs::path> entries, SortedEntries(directory));
    for (const fs::path& path : entries) {
      struct stat status{};
      if (::lstat(path.c_str(), &status) != 0) return Fail(FromErrno(errno, "cannot read " + path.string()));
      if (S_ISDIR(status.st_mode)) {
        TRYV(Header(path, status, ""));
        TRYV(Directory(path));
      } else if (S_ISLNK(status.st_mode)) {
        std::error_code error;
        TRYV(Header(path, status, fs::read_symlink(path, error)));
      } else if (S_ISREG(status.st_mode)) {
        TRYV(File(path));
      }
    }
    return {};
  }

 private:
  Result<void> Header(const fs::path& path, const struct stat& status, const fs::path& link) {
    std::unique_ptr<archive_entry, EntryDeleter> entry(archive_entry_new());
    archive_entry_copy_stat(entry.get(), &status);
    archive_entry_set_pathname(entry.get(), path.lexically_relative(root_).c_str());
    archive_entry_set_uid(entry.get(), 0);
    archive_entry_set_gid(entry.get(), 0);
    archive_entry_set_nlink(entry.get(), 1);
    archive_entry_set_uname(entry.get(), "root");
    archive_entry_set_gname(entry.get(), "root");
    if (!link.empty()) archive_entry_set_symlink(entry.get(), link.c_str());
    if (archive_write_header(writer_, entry.get()) != ARCHIVE_OK) return Fail(WriteError(writer_));
    return {};
  }

  Result<void> File(const fs::path& path) {
    TRY(io::UniqueFd fd, io::Open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    struct stat status{};
    if (::fstat(fd.get(), &status) != 0) return Fail(FromErrno(errno, "cannot read " + path.string()));
    TRYV(Header(path, status, ""));
    // Exactly as many bytes as the header says, whatever happens to the file meanwhile.
    off_t left = status.st_size;
    while (left > 0) {
      ssize_t got = ::read(fd.get(), buffer_.data(), std::min<size_t>(buffer_.size(), static_cast<size_t>(left)));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return Fail(FromErrno(errno, "cannot read " + path.string()));
      if (got == 0) break;
      if (archive_write_data(writer_, buffer_.data(), static_cast<size_t>(got)) != got)
        return Fail(WriteError(writer_));
      left -= got;
    }
    return {};
  }

  fs::path root_;
  archive* writer_;
  std::vector<char> buffer_ = std::vector<char>(256 * 1024);
};

Result<void> CopyFile(const fs::path& from, int directory_fd, const std::string& name) {
  TRY(io::UniqueFd source, io::Open(from, O_RDONLY | O_NONBLOCK));
  struct stat status{};
  if (::fstat(source.get(), &status) != 0) return Fail(FromErrno(errno, "cannot read " + from.string()));
  if (!S_ISREG(status.st_mode)) return {};
  io::UniqueFd target(
      ::openat(directory_fd, name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!target) return Fail(FromErrno(errno, "cannot copy " + from.string()));
  std::vector<char> buffer(256 * 1024);
  while (true) {
    ssize_t got = ::read(source.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Fail(FromErrno(errno, "cannot read " + from.string()));
    if (got == 0) return {};
    TRYV(io::WriteAll(target.get(), {buffer.data(), static_cast<size_t>(got)}));
  }
}

}  // namespace

Result<bool> HasContent(const fs::path& directory) {
  TRYV(CheckRoot(directory));
  TRY(std::vector<fs::path> entries, SortedEntries(directory));
  return !entries.empty();
}

Result<void> PackDirectory(const fs::path& directory, int output_fd) {
  TRYV(CheckRoot(directory));
  std::unique_ptr<archive, WriterDeleter> writer(archive_write_new());
  archive_write_add_filter_gzip(writer.get());
  // Weights hardly compress; the fastest level costs little size and a quarter of the time.
  archive_write_set_filter_option(writer.get(), "gzip", "compression-level", "1");
  archive_write_set_format_pax_restricted(writer.get());
  if (archive_write_open_fd(writer.get(), output_fd) != ARCHIVE_OK) return Fail(WriteError(writer.get()));
  TRYV(Packer(directory, writer.get()).Directory(directory));
  if (archive_write_close(writer.get()) != ARCHIVE_OK) return Fail(WriteError(writer.get()));
  return {};
}

Result<void> CopyDirectory(const fs::path& directory, int output_directory_fd) {
  TRYV(CheckRoot(directory));
  TRY(std::vector<fs::path> entries, SortedEntries(directory));
  for (const fs::path& path : entries) {
    std::string name = path.filename();
    std::error_code error;
    if (fs::symlink_status(path, error).type() != fs::file_type::directory) {
      TRYV(CopyFile(path, output_directory_fd, name));
      continue;
    }
    if (::mkdirat(output_directory_fd, name.c_str(), 0755) != 0 && errno != EEXIST) {
      return Fail(FromErrno(errno, "cannot copy " + path.string()));
    }
    io::UniqueFd below(::openat(output_directory_fd, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!below) return Fail(FromErrno(errno, "cannot copy " + path.string()));
    TRYV(CopyDirectory(path, below.get()));
  }
  return {};
}

}  // namespace sagebrush::agent
