#include "control/checkpoint_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <memory>

namespace sagebrush::control {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

struct DirectoryCloser {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

FileVersion VersionOf(const struct stat& status) {
  return {status.st_ino, static_cast<uint64_t>(status.st_size),
          status.st_ctim.tv_sec * 1'000'000'000 + status.st_ctim.tv_nsec};
}

Result<void> ListBelow(io::UniqueFd fd, const std::string& prefix, int depth, FileVersions& files) {
  if (depth > kDeepestCheckpoint) {
    return Fail(InvalidArgument("directories are nested more than " + std::to_string(kDeepestCheckpoint) +
                                " deep below '" + prefix.substr(0, 100) + "'"));
  }
  std::unique_ptr<DIR, DirectoryCloser> directory(::fdopendir(fd.get()));
  if (!directory) return Fail(FromErrno(errno, "cannot list the checkpoints in '" + prefix + "'"));
  int number = fd.Release();  // the stream's own now
  while (const dirent* entry = ::readdir(directory.get())) {
    std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    struct stat status{};
    if (::fstatat(number, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) continue;  // gone since
    if (S_ISDIR(status.st_mode)) {
      io::UniqueFd below(::openat(number, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!below && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) continue;  // replaced since
      if (!below) return Fail(FromErrno(errno, "cannot list the checkpoints in '" + prefix + name + "'"));
      TRYV(ListBelow(std::move(below), prefix + name + "/", depth + 1, files));
    } else if (S_ISREG(status.st_mode)) {
      if (files.size() == kMostCheckpointFiles) {
        return Fail(InvalidArgument("there are more than " + std::to_string(kMostCheckpointFiles) + " files"));
      }
      files[prefix + name] = VersionOf(status);
    }
  }
  return {};
}

}  // namespace

Result<FileVersions> ListCheckpointFiles(const fs::path& directory) {
  TRY(io::UniqueFd root, io::Open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  FileVersions files;
  TRYV(ListBelow(std::move(root), "", 0, files));
  return files;
}

Result<FileVersion> VersionOf(int fd) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) return Fail(FromErrno(errno, "cannot read a checkpoint"));
  return VersionOf(status);
}

Result<io::UniqueFd> OpenCheckpointFile(const fs::path& directory, const std::string& path,
                                        const FileVersion& version) {
  TRY(io::UniqueFd root, io::Open(directory, O_PATH | O_DIRECTORY | O_NOFOLLOW));
  open_how how{};
  how.flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
  io::UniqueFd file(static_cast<int>(::syscall(SYS_openat2, root.get(), path.c_str(), &how, sizeof how)));
  if (!file && errno != ELOOP && errno != ENOTDIR && errno != EXDEV) {
    return Fail(FromErrno(errno, "cannot read the checkpoint '" + path + "'"));
  }
  if (file) {
    TRY(FileVersion found, VersionOf(file.get()));
    if (found == version) return file;
  }
  return Fail(NotFound("The checkpoint '" + path + "' has been replaced."));
}

std::string ToJson(const CheckpointRecord& record) {
  json::object files;
  for (const auto& [path, stored] : record) {
    files[path] = json::array{stored.version.inode, stored.version.size, stored.version.changed_ns, stored.etag};
  }
  return json::serialize(files);
}

Result<CheckpointRecord> CheckpointRecordFromJson(std::string_view text) {
  // Boost.JSON reports a wrong form by exceptions; they end here.
  try {
    CheckpointRecord record;
    for (const auto& [path, value] : json::parse(text).as_object()) {
      const json::array& fields = value.as_array();
      record[path] = {{json::value_to<uint64_t>(fields.at(0)), json::value_to<uint64_t>(fields.at(1)),
                       json::value_to<int64_t>(fields.at(2))},
                      std::string(fields.at(3).as_string())};
    }
    return record;
  } catch (const std::exception& error) {
    return Fail(
        Error(ErrorKind::kDataLoss, std::string("the record of stored checkpoints is damaged: ") + error.what()));
  }
}

CheckpointSteps PlanCheckpoints(const FileVersions& files, const CheckpointRecord& record, int64_t quiet_before_ns) {
  CheckpointSteps steps;
  bool some_left = false;
  for (const auto& [path, version] : files) {
    auto stored = record.find(path);
    if (stored != record.end() && stored->second.version == version) continue;
    if (version.changed_ns > quiet_before_ns) {
      some_left = true;
    } else {
      steps.uploads.push_back(path);
    }
  }
  std::stable_sort(steps.uploads.begin(), steps.uploads.end(), [&](const std::string& a, const std::string& b) {
    return files.at(a).changed_ns < files.at(b).changed_ns;
  });
  if (some_left) return steps;
  for (const auto& [path, stored] : record) {
    if (!files.contains(path)) steps.removals.push_back(path);
  }
  return steps;
}

}  // namespace sagebrush::control
