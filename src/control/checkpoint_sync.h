#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "control/checkpoint_tree.h"
#include "control/training_job_request.h"
#include "control/work_queue.h"
#include "driver/driver.h"
#include "objstore/object_store.h"

namespace sagebrush::control {

// CheckpointConfig: what stands below S3Uri is put before a program when it starts, and what the program writes to
// LocalPath is stored there while it runs and at its end; what it deletes is deleted there. Each instance of a job does
// so for itself, with one S3Uri, as hosted.
//
// Once a second each directory is looked at. A file is stored when it has not changed for two seconds, or when the
// program is over, by a stream of its bytes; one that changes meanwhile is left for the next look. An object is deleted
// only while it is the one that this instance stored or found. Of a program that was cut off (its instance was lost, a
// signal ended it) only what was quiet before its end is stored.
//
// Crash behaviour: what is stored of which version of a file is recorded, durably, beside the directory after each look
// (StagingDirectory/checkpoints.json); a crash before that stores the same bytes again. A program that ends while there
// is no engine is found so: its files are stored before its job ends and its instance is removed.
// Threads: a work queue of its own, keyed by instance; calls block.
class CheckpointSync {
 public:
  CheckpointSync(driver::Driver& driver, objstore::ObjectStore& objects);

  void Start() { queue_.Start(); }
  void BeginStop() { queue_.BeginStop(); }  // as WorkQueue's
  void Stop() { queue_.Stop(); }

  // Fills a new directory for the instance with what is stored, owned by `owner`: its path. The staging directory
  // exists.
  Result<std::filesystem::path> Restore(const InstanceId& id, const std::string& s3_uri, objstore::BlobOwner owner);

  // From now on what the instance writes is stored below this URI. Call before it starts, or when a restart finds it.
  void Watch(const InstanceId& id, const std::string& s3_uri);
  void Forget(const InstanceId& id);
  // Looks at the directory now. After the instance's end everything is stored that can be when this succeeds; the
  // errors of single files do not keep others from being stored, and the first is returned.
  Result<void> Sync(const InstanceId& id);

 private:
  struct Watched {
    S3Uri target;          // its key is "" or ends in "/"
    int64_t alive_ns = 0;  // when the instance was last seen alive by this process
    std::string last_error;
    std::mutex syncing;
  };
  Result<void> Look(const InstanceId& id, Watched& watched);
  Result<void> CarryOut(const std::filesystem::path& directory, const S3Uri& target, const FileVersions& files,
                        const CheckpointSteps& steps, CheckpointRecord& record);

  driver::Driver& driver_;
  objstore::ObjectStore& objects_;
  std::mutex mutex_;
  std::map<InstanceId, std::shared_ptr<Watched>> watched_;  // guarded by mutex_
  WorkQueue queue_;
};

}  // namespace sagebrush::control
