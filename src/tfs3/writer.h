#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tfs3/s3_client.h"

namespace sagebrush::tfs3 {

// A file open for writing. Its states, by what the object of that name holds:
//   1 small:     nothing has been sent, or everything by one PUT; all of the file is in the buffer
//   2 uploading: parts of 8 MiB are under way; the object is as it was until Commit
//   3 committed: the object holds the first `base_` bytes; what follows goes to a new upload whose first parts the
//                server copies from the object
// 1 → 2 at 8 MiB; 2 → 3 and 1 → 1 by Commit; 3 → 2 by appending and committing. A file opened for appending begins in 3
// (in 1 when it is small). One thread at a time, as TensorFlow promises. An error stays: every later call returns it.
// A process that dies leaves the object as it was last committed, and at most an unfinished upload.
class Writer {
 public:
  static std::unique_ptr<Writer> Create(S3Client& client, Location object);
  static Result<std::unique_ptr<Writer>> Append(S3Client& client, Location object);
  // A file that was not closed is committed, as a local file's bytes would be there; an upload that failed is aborted.
  ~Writer();

  Result<void> Write(std::string_view data);
  uint64_t size() const { return base_ + sent_ + buffer_.size(); }
  // Makes what was written visible, but only where that is one small PUT.
  Result<void> Flush();
  Result<void> Commit();
  Result<void> Close();

 private:
  Writer(S3Client& client, Location object) : client_(client), object_(std::move(object)) {}
  Result<void> Keep(Result<void> result);
  Result<void> StartUpload();
  Result<void> SendPart();
  Result<void> Finish();
  size_t PartSize() const;

  S3Client& client_;
  const Location object_;
  std::string buffer_;
  uint64_t base_ = 0, sent_ = 0;    // bytes in the object; bytes in parts of the upload beyond those
  std::string upload_;              // "" when none is under way
  std::vector<std::string> etags_;  // of its parts
  bool dirty_ = true;               // something (or the file's existence) is not committed
  bool closed_ = false;
  Result<void> state_;
};

}  // namespace sagebrush::tfs3
