#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/file.h"

namespace sagebrush::control {

// The directory of an instance's checkpoints, seen from outside while a program that need not be trusted writes there:
// nothing here follows a symbolic link, waits for a pipe, or leaves the directory.

// One version of a file. The kernel changes the change time with every write and rename, and a program cannot set it.
struct FileVersion {
  uint64_t inode = 0;
  uint64_t size = 0;
  int64_t changed_ns = 0;  // wall clock

  bool operator==(const FileVersion&) const = default;
};
using FileVersions = std::map<std::string, FileVersion>;  // by path below the directory, "a/b"

inline constexpr int kDeepestCheckpoint = 64;
inline constexpr size_t kMostCheckpointFiles = 100'000;

// All regular files. kInvalidArgument past the two limits; kNotFound when the directory is gone.
Result<FileVersions> ListCheckpointFiles(const std::filesystem::path& directory);
// Opens exactly that version; kNotFound when the path has another one by now, or none.
Result<io::UniqueFd> OpenCheckpointFile(const std::filesystem::path& directory, const std::string& path,
                                        const FileVersion& version);
Result<FileVersion> VersionOf(int fd);

// What is known to be stored of a file: this version of it, as the object with this ETag.
struct StoredVersion {
  FileVersion version;
  std::string etag;

  bool operator==(const StoredVersion&) const = default;
};
using CheckpointRecord = std::map<std::string, StoredVersion>;

std::string ToJson(const CheckpointRecord& record);
Result<CheckpointRecord> CheckpointRecordFromJson(std::string_view text);

struct CheckpointSteps {
  std::vector<std::string> uploads;  // oldest change first, so that what names other files comes after them
  std::vector<std::string> removals;
};
// Pure. A file that changed after `quiet_before_ns` may be half written and is left for later. Files are removed from
// the store only when no file is left for later: the last whole checkpoint stays until the next one is whole.
CheckpointSteps PlanCheckpoints(const FileVersions& files, const CheckpointRecord& record, int64_t quiet_before_ns);

}  // namespace sagebrush::control
