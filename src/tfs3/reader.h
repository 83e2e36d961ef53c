#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "tfs3/s3_client.h"

namespace sagebrush::tfs3 {

// A file open for reading: ranged reads behind one buffer that reads ahead, more the longer a program reads in order.
// The size is never remembered, so that a reader which waits at the end (TensorBoard) sees a file grow. Thread-safe;
// large reads from several threads run side by side.
class Reader {
 public:
  // kNotFound when there is no such object. Fetches the first bytes already: most files are small.
  static Result<std::unique_ptr<Reader>> Open(S3Client& client, Location object);

  // Fewer bytes than `size` only at the end of the file.
  Result<size_t> Read(uint64_t offset, size_t size, char* out);

 private:
  Reader(S3Client& client, Location object) : client_(client), object_(std::move(object)) {}
  size_t TakeBuffered(uint64_t offset, size_t size, char* out) const;
  Result<size_t> ReadDirectly(uint64_t offset, size_t size, char* out) const;

  S3Client& client_;
  const Location object_;
  std::mutex mutex_;
  uint64_t buffer_offset_ = 0;
  std::string buffer_;
  size_t window_ = 0;  // how much to fetch when the next read goes on where the buffer ends
};

// A whole object; kInvalidArgument for an empty one, as TensorFlow wants it of memory regions.
Result<std::string> ReadWhole(S3Client& client, const Location& object);

}  // namespace sagebrush::tfs3
