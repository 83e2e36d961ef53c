#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "base/result.h"
#include "io/file.h"
#include "objstore/object_store.h"

namespace sagebrush::objstore {

// The files of the store: <directory>/blobs/<xx>/<name> for large contents, <directory>/inline/<xx>/<name> as a cache
// of small ones. <name> is the content's random name and <xx> its first two characters; a name that begins with a dot
// is temporary. The directories <xx> are made when they are first needed: 512 at once take ext4 a second or more.
// Thread-safe.
class BlobFiles {
 public:
  BlobFiles(std::filesystem::path directory, BlobOwner owner)
      : directory_(std::move(directory)), owner_(owner), durable_(std::make_unique<DurableDirectories>()) {}

  // Makes the upper directories; drops the cache when the machine was restarted since it was made (it is never synced).
  Result<void> Prepare();
  // Removes what the index does not name. The functions tell the names that begin with xx.
  Result<void> Sweep(const std::function<Result<std::set<std::string>>(const std::string& xx)>& named_blobs,
                     const std::function<Result<std::set<std::string>>(const std::string& xx)>& named_inline);

  std::filesystem::path BlobPath(std::string_view name) const;
  std::filesystem::path CachePath(std::string_view name) const;
  // Removes the files of a content that the index no longer names; a failure is logged (Open tries again).
  void Drop(std::string_view name, bool in_file) const;

  // The directory of blobs whose names begin with xx, made durably before the first is.
  Result<void> EnsureBlobDirectory(std::string_view xx) const;
  // A new temporary file beside the blob of that name, open for writing.
  Result<io::UniqueFd> CreateTemporary(std::string_view name) const;
  std::filesystem::path TemporaryPath(std::string_view name) const;
  // Makes the temporary file of that name the durable blob of that name, with the blob owner and mode.
  Result<void> Publish(std::string_view name, int fd) const;
  // Puts a small content into the cache; it being there already is fine.
  Result<void> Cache(std::string_view name, std::string_view bytes) const;
  // Mode 0644 and the blob owner.
  Result<void> Own(int fd) const;
  Result<void> OwnDirectory(const std::filesystem::path& directory) const;
  // Hard link, or a copy where that is not possible. kNotFound when `from` is absent, kAlreadyExists when `to` exists.
  Result<void> LinkOrCopy(const std::filesystem::path& from, const std::filesystem::path& to) const;

 private:
  // Directories <xx> below blobs/ that would survive a power cut.
  struct DurableDirectories {
    std::mutex mutex;
    std::set<std::string, std::less<>> names;  // guarded by mutex
  };
  std::filesystem::path directory_;
  BlobOwner owner_;
  std::unique_ptr<DurableDirectories> durable_;
};

// copy_file_range (a reflink where the file system has them), or read and write where it is refused. Both files at
// their current offsets; `length` bytes or an error.
Result<void> CopyBytes(int from, int to, uint64_t length);

// The bytes of one content on their way into the store: in memory up to ObjectStore::kInlineBytes, then in a temporary
// file. Destroyed before Keep it leaves nothing behind. One thread at a time.
class Staging {
 public:
  explicit Staging(const BlobFiles& files);
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  Result<void> Append(std::string_view data);
  Result<void> AppendFile(int fd, uint64_t length);  // from the file's current offset, without passing through here
  Result<void> AdoptLink(const std::filesystem::path& path, uint64_t size);  // the whole content: a link to that file
  // Makes a large content durable under its final name. Then the index may name it.
  Result<void> Seal();
  void Keep() { kept_ = true; }  // the index names it

  const std::string& name() const { return name_; }
  uint64_t size() const { return size_; }
  bool in_file() const { return static_cast<bool>(file_); }
  const std::string& inline_bytes() const { return inline_bytes_; }
  int file() const { return file_.get(); }  // readable; in_file only

 private:
  Result<void> Spill();

  const BlobFiles& files_;
  std::string name_;
  std::string inline_bytes_;
  io::UniqueFd file_;
  uint64_t size_ = 0;
  bool kept_ = false;
};

}  // namespace sagebrush::objstore
