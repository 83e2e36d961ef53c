#include "control/checkpoint_sync.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <limits>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"

namespace sagebrush::control {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kPeriodMs = 1000;
constexpr int64_t kQuietNs = 2'000'000'000;
constexpr size_t kChunkBytes = 1 << 20;

// Change times are the kernel's, so this is compared with the kernel's clock, not with an injected one.
int64_t NowNs() { return WallClockMs() * 1'000'000; }

fs::path DirectoryIn(const fs::path& staging) { return staging / "checkpoints"; }
fs::path RecordIn(const fs::path& staging) { return staging / "checkpoints.json"; }

// A folder: of "s3://b/run" the keys below "run/", not those of "run-2".
Result<S3Uri> FolderOf(const std::string& s3_uri) {
  TRY(S3Uri uri, ParseS3Uri(s3_uri));
  while (uri.key.ends_with('/')) uri.key.pop_back();
  if (!uri.key.empty()) uri.key += '/';
  return uri;
}

Result<void> CheckPath(const std::string& key, std::string_view relative) {
  for (std::string_view part : Split(relative, '/')) {
    bool plain = !part.empty() && part != "." && part != ".." && part.size() <= 255;
    if (plain || (part.empty() && relative.ends_with('/'))) continue;
    return Fail(InvalidArgument("ClientError: the object key '" + key +
                                "' below CheckpointConfig.S3Uri cannot become a file. Rename the object or choose "
                                "another S3Uri."));
  }
  return {};
}

Result<void> Own(const fs::path& path, objstore::BlobOwner owner) {
  if (owner.uid == ::geteuid() || ::lchown(path.c_str(), owner.uid, owner.gid) == 0) return {};
  return Fail(FromErrno(errno, "cannot change the owner of " + path.string()));
}

Result<void> MakeOwnedDirectories(const fs::path& root, const fs::path& relative, objstore::BlobOwner owner) {
  fs::path path = root;
  for (const fs::path& part : relative) {
    if (part.empty()) continue;
    path /= part;
    if (::mkdir(path.c_str(), 0755) == 0) {
      TRYV(Own(path, owner));
    } else if (errno != EEXIST) {
      return Fail(FromErrno(errno, "cannot make " + path.string()));
    }
  }
  return {};
}

// A copy, because a program may write into its checkpoints and a stored object never changes.
Result<void> WriteContent(const objstore::ObjectContent& content, const fs::path& path) {
  TRY(io::UniqueFd file, io::Open(path, O_WRONLY | O_CREAT | O_EXCL, 0644));
  if (!content.file) return io::WriteAll(file.get(), content.inline_bytes);
  off_t left = static_cast<off_t>(content.info.size), offset = 0;
  while (left > 0) {
    ssize_t moved = ::copy_file_range(content.file.get(), &offset, file.get(), nullptr, static_cast<size_t>(left), 0);
    if (moved < 0 && errno == EINTR) continue;
    if (moved <= 0) return Fail(FromErrno(moved < 0 ? errno : EIO, "cannot copy to " + path.string()));
    left -= moved;
  }
  return {};
}

Result<CheckpointRecord> ReadRecord(const fs::path& file) {
  Result<std::string> text = io::ReadFile(file);
  if (!text && text.error().kind == ErrorKind::kNotFound) return CheckpointRecord();
  if (!text) return Fail(std::move(text).error());
  return CheckpointRecordFromJson(*text);
}

// Streams one version of a file into the store. kNotFound: it has changed by now; nothing was stored.
Result<StoredVersion> Upload(objstore::ObjectStore& objects, const fs::path& directory, const std::string& path,
                             const FileVersion& version, const S3Uri& target) {
  TRY(io::UniqueFd file, OpenCheckpointFile(directory, path, version));
  objstore::PutOptions options;
  options.content_type = "binary/octet-stream";
  TRY(std::unique_ptr<objstore::ObjectWriter> writer, objects.Put(target.bucket, target.key + path, options));
  std::vector<char> buffer(std::min<size_t>(kChunkBytes, version.size + 1));
  uint64_t taken = 0;
  while (true) {
    ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Fail(FromErrno(errno, "cannot read the checkpoint '" + path + "'"));
    if (got == 0) break;
    taken += static_cast<uint64_t>(got);
    if (taken > version.size) break;
    TRYV(writer->Append({buffer.data(), static_cast<size_t>(got)}));
  }
  TRY(FileVersion now, VersionOf(file.get()));
  if (now != version || taken != version.size) return Fail(NotFound("The checkpoint '" + path + "' is being written."));
  FAILPOINT("control.checkpoint.before_upload");
  TRY(objstore::ObjectInfo stored, writer->Commit());
  FAILPOINT("control.checkpoint.after_upload");
  return StoredVersion{version, stored.etag};
}

// Whether the program may have been cut off in the middle of a file.
bool WasCutOff(const driver::InstanceStatus& status) {
  bool by_signal = status.signal != 0 || status.exit_code > 128;  // the latter as shells tell it
  return status.phase == driver::Phase::kLost || status.machine_failed || by_signal;
}

// Files that changed later may be half written. While the program runs: those of the last two seconds. When it is over:
// none. When it was cut off: those of the two seconds before its end, or before its last sign of life.
int64_t QuietBefore(const driver::InstanceStatus& status, int64_t alive_ns, const FileVersions& files) {
  if (status.phase < driver::Phase::kEnded) return alive_ns - kQuietNs;
  if (!WasCutOff(status)) return std::numeric_limits<int64_t>::max();
  if (status.training_ended_ms != 0) return status.training_ended_ms * 1'000'000 - kQuietNs;
  int64_t last_sign_ns = alive_ns;
  for (const auto& [path, version] : files) last_sign_ns = std::max(last_sign_ns, version.changed_ns);
  return last_sign_ns - kQuietNs;
}

// Another instance, or another job, may have stored something else there: that stays.
Result<void> RemoveStored(objstore::ObjectStore& objects, const S3Uri& target, const std::string& path,
                          const std::string& etag) {
  Result<objstore::ObjectInfo> found = objects.Head(target.bucket, target.key + path);
  if (!found && found.error().code == "NoSuchKey") return {};
  if (!found) return Fail(std::move(found).error());
  if (found->etag != etag) return {};
  return objects.Delete(target.bucket, target.key + path);
}

}  // namespace

CheckpointSync::CheckpointSync(driver::Driver& driver, objstore::ObjectStore& objects)
    : driver_(driver),
      objects_(objects),
      queue_({.name = "checkpoints",
              .threads = 2,
              .resync_ms = kPeriodMs,
              .work = [this](const std::string& key) { static_cast<void>(Sync(InstanceId(key))); },
              .resync =
                  [this] {
                    std::lock_guard lock(mutex_);
                    std::vector<std::string> keys;
                    for (const auto& [id, watched] : watched_) keys.push_back(id.value());
                    return keys;
                  }}) {}

Result<fs::path> CheckpointSync::Restore(const InstanceId& id, const std::string& s3_uri, objstore::BlobOwner owner) {
  TRY(S3Uri folder, FolderOf(s3_uri));
  fs::path staging = driver_.StagingDirectory(id), directory = DirectoryIn(staging);
  TRYV(io::RemoveTree(directory));
  TRYV(MakeOwnedDirectories(staging, "checkpoints", owner));
  CheckpointRecord record;
  objstore::ListRequest request{.prefix = folder.key};
  while (true) {
    TRY(objstore::ListResult page, objects_.List(folder.bucket, request));
    for (const objstore::ObjectInfo& object : page.objects) {
      std::string relative = object.key.substr(folder.key.size());
      if (relative.empty()) continue;
      TRYV(CheckPath(object.key, relative));
      TRYV(MakeOwnedDirectories(directory, fs::path(relative).parent_path(), owner));
      if (relative.ends_with('/')) continue;
      Result<objstore::ObjectContent> content = objects_.Get(folder.bucket, object.key);
      if (!content && content.error().code == "NoSuchKey") continue;  // deleted since
      if (!content) return Fail(std::move(content).error());
      TRYV(WriteContent(*content, directory / relative));
      TRYV(Own(directory / relative, owner));
      record[relative] = {{}, content->info.etag};
    }
    if (!page.truncated) break;
    request.start_after = page.next;
  }
  TRY(FileVersions files, ListCheckpointFiles(directory));
  for (auto& [path, stored] : record) stored.version = files.at(path);
  TRYV(io::WriteFileDurably(RecordIn(staging), ToJson(record)));
  return directory;
}

void CheckpointSync::Watch(const InstanceId& id, const std::string& s3_uri) {
  Result<S3Uri> folder = FolderOf(s3_uri);
  if (!folder) return;  // the request was checked
  std::lock_guard lock(mutex_);
  std::shared_ptr<Watched>& watched = watched_[id];
  if (watched) return;
  watched = std::make_shared<Watched>();
  watched->target = *std::move(folder);
}

void CheckpointSync::Forget(const InstanceId& id) {
  std::lock_guard lock(mutex_);
  watched_.erase(id);
}

Result<void> CheckpointSync::Sync(const InstanceId& id) {
  std::shared_ptr<Watched> watched;
  {
    std::lock_guard lock(mutex_);
    auto found = watched_.find(id);
    if (found == watched_.end()) return {};  // it has none, or is done with
    watched = found->second;
  }
  std::lock_guard syncing(watched->syncing);
  Result<void> done = Look(id, *watched);
  std::string error = done ? std::string() : done.error().message;
  if (!error.empty() && error != watched->last_error) {
    Log(LogLevel::kWarning, "checkpoints_not_stored", {{"instance", id.value()}, {"error", error}});
  }
  watched->last_error = std::move(error);
  return done;
}

Result<void> CheckpointSync::Look(const InstanceId& id, Watched& watched) {
  // The phase before the files: what is written between the two looks must not count as a program's last word.
  Result<driver::InstanceStatus> status = driver_.Inspect(id);
  if (!status && status.error().kind == ErrorKind::kNotFound) return {};  // not started, or removed
  if (!status) return Fail(std::move(status).error());
  if (status->phase < driver::Phase::kEnded) watched.alive_ns = NowNs();
  fs::path staging = driver_.StagingDirectory(id), directory = DirectoryIn(staging);
  Result<FileVersions> files = ListCheckpointFiles(directory);
  if (!files && files.error().kind == ErrorKind::kNotFound) return {};  // removed since
  if (!files) return Fail(std::move(files).error());
  int64_t quiet_before_ns = QuietBefore(*status, watched.alive_ns, *files);
  TRY(CheckpointRecord record, ReadRecord(RecordIn(staging)));
  CheckpointSteps steps = PlanCheckpoints(*files, record, quiet_before_ns);
  if (steps.uploads.empty() && steps.removals.empty()) return {};
  CheckpointRecord before = record;
  Result<void> done = CarryOut(directory, watched.target, *files, steps, record);
  if (record != before) TRYV(io::WriteFileDurably(RecordIn(staging), ToJson(record)));
  return done;
}

Result<void> CheckpointSync::CarryOut(const fs::path& directory, const S3Uri& target, const FileVersions& files,
                                      const CheckpointSteps& steps, CheckpointRecord& record) {
  Result<void> first;
  bool all_stored = true;
  for (const std::string& path : steps.uploads) {
    Result<StoredVersion> stored = Upload(objects_, directory, path, files.at(path), target);
    if (stored) {
      record[path] = *std::move(stored);
      continue;
    }
    all_stored = false;
    if (stored.error().kind == ErrorKind::kNotFound && stored.error().code.empty()) continue;  // at the next look
    Error error = std::move(stored).error();
    if (first) first = Fail(std::move(error).Because("'" + path + "' in s3://" + target.bucket + "/" + target.key));
  }
  if (!all_stored) return first;
  for (const std::string& path : steps.removals) {
    Result<void> removed = RemoveStored(objects_, target, path, record.at(path).etag);
    if (removed) {
      record.erase(path);
    } else if (first) {
      first = std::move(removed);
    }
  }
  return first;
}

}  // namespace sagebrush::control
