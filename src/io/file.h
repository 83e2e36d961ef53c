#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace sagebrush::io {

// Owns one file descriptor.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) {
      Reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~UniqueFd() { Reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int Release() { return std::exchange(fd_, -1); }
  void Reset();

 private:
  int fd_ = -1;
};

// open(2) with O_CLOEXEC added.
Result<UniqueFd> Open(const std::filesystem::path& path, int flags, mode_t mode = 0600);
Result<void> WriteAll(int fd, std::string_view data);
// The whole file. kNotFound when it is absent.
Result<std::string> ReadFile(const std::filesystem::path& path);
// Up to `length` bytes from `offset`; fewer only at the end of the file.
Result<std::string> ReadAt(int fd, uint64_t offset, size_t length);
// Replaces the file so that after a crash either the old or the new content is there whole: temporary file in the same
// directory, fsync, rename, fsync of the directory.
Result<void> WriteFileDurably(const std::filesystem::path& path, std::string_view data, mode_t mode = 0600);
// Replaces the file without syncing.
Result<void> WriteFile(const std::filesystem::path& path, std::string_view data, mode_t mode = 0644);
Result<void> SyncDirectory(const std::filesystem::path& directory);
// mkdir -p; the mode is for directories made here.
Result<void> MakeDirectories(const std::filesystem::path& directory, mode_t mode = 0755);
// rm -rf; absent is fine.
Result<void> RemoveTree(const std::filesystem::path& path);

}  // namespace sagebrush::io
