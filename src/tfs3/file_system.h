#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tfs3/s3_client.h"

namespace sagebrush::tfs3 {

struct FileStatus {
  uint64_t size = 0;
  int64_t modified_ns = 0;
  bool directory = false;
};

// Files and directories over a flat key space, with the error kinds that TensorFlow's interface demands. A directory is
// a prefix that some key has; the empty object "dir/" keeps one that has no other. Nothing checks that parents exist,
// so that writing below a directory which nobody made works. Thread-safe; holds no state of its own.
class FileSystem {
 public:
  explicit FileSystem(S3Client& client) : client_(client) {}

  Result<FileStatus> Stat(std::string_view uri);                     // kNotFound
  Result<void> MakeDirectory(std::string_view uri, bool may_exist);  // kAlreadyExists, kFailedPrecondition
  Result<void> DeleteFile(std::string_view uri);                     // kNotFound, kFailedPrecondition
  Result<void> DeleteDirectory(std::string_view uri);                // kFailedPrecondition unless empty
  // A file is deleted too. `remaining` counts the files that could not be deleted.
  Result<void> DeleteTree(std::string_view uri, uint64_t& remaining);
  // On the server. A directory is copied whole before anything of it is deleted: a failure leaves the source complete.
  Result<void> Rename(std::string_view from, std::string_view to);
  Result<void> Copy(std::string_view from, std::string_view to);     // a file
  Result<std::vector<std::string>> Children(std::string_view uri);   // names; kNotFound, kFailedPrecondition
  Result<std::vector<std::string>> Matching(std::string_view glob);  // URIs, sorted

 private:
  Result<bool> IsDirectory(const Location& location);
  Result<void> RenameDirectory(const Location& from, const Location& to);

  S3Client& client_;
};

}  // namespace sagebrush::tfs3
