#include "tfs3/reader.h"

#include <algorithm>
#include <cstring>

namespace sagebrush::tfs3 {
namespace {

constexpr size_t kFirstWindow = 256 * 1024, kLargestWindow = 8 << 20;
constexpr size_t kLargeRead = 1 << 20;  // from here on a read goes past the buffer

}  // namespace

Result<std::unique_ptr<Reader>> Reader::Open(S3Client& client, Location object) {
  std::unique_ptr<Reader> reader(new Reader(client, std::move(object)));
  TRY(reader->buffer_, client.Get(reader->object_, 0, kFirstWindow));
  reader->window_ = kFirstWindow;
  return reader;
}

size_t Reader::TakeBuffered(uint64_t offset, size_t size, char* out) const {
  if (offset < buffer_offset_ || offset - buffer_offset_ >= buffer_.size()) return 0;
  size_t at = static_cast<size_t>(offset - buffer_offset_), taken = std::min(size, buffer_.size() - at);
  std::memcpy(out, buffer_.data() + at, taken);
  return taken;
}

Result<size_t> Reader::ReadDirectly(uint64_t offset, size_t size, char* out) const {
  size_t done = 0;
  while (done < size) {
    size_t wanted = std::min(size - done, kLargestWindow);
    TRY(std::string bytes, client_.Get(object_, offset + done, wanted));
    std::memcpy(out + done, bytes.data(), std::min(bytes.size(), wanted));
    done += std::min(bytes.size(), wanted);
    if (bytes.size() < wanted) break;
  }
  return done;
}

Result<size_t> Reader::Read(uint64_t offset, size_t size, char* out) {
  std::unique_lock lock(mutex_);
  size_t done = TakeBuffered(offset, size, out);
  if (done == size) return done;
  if (size - done >= kLargeRead) {
    lock.unlock();
    TRY(size_t rest, ReadDirectly(offset + done, size - done, out + done));
    return done + rest;
  }
  bool in_order = offset + done == buffer_offset_ + buffer_.size();
  window_ = in_order ? std::min(2 * window_, kLargestWindow) : kFirstWindow;
  TRY(std::string fetched, client_.Get(object_, offset + done, std::max(window_, size - done)));
  buffer_ = std::move(fetched);
  buffer_offset_ = offset + done;
  return done + TakeBuffered(offset + done, size - done, out + done);
}

Result<std::string> ReadWhole(S3Client& client, const Location& object) {
  std::string whole;
  while (true) {
    TRY(std::string bytes, client.Get(object, whole.size(), kLargestWindow));
    whole += bytes;
    if (bytes.size() < kLargestWindow) break;
  }
  if (whole.empty()) return Fail(InvalidArgument(object.Uri() + " is empty: there is no memory region of nothing."));
  return whole;
}

}  // namespace sagebrush::tfs3
