#include "tfs3/writer.h"

#include <algorithm>
#include <cstdio>

namespace sagebrush::tfs3 {
namespace {

constexpr size_t kPart = 8 << 20;
constexpr uint64_t kSmallestPart = 5 << 20;  // but for the last, as S3 demands
constexpr uint64_t kLargestCopy = uint64_t{1} << 30;

}  // namespace

std::unique_ptr<Writer> Writer::Create(S3Client& client, Location object) {
  return std::unique_ptr<Writer>(new Writer(client, std::move(object)));
}

Result<std::unique_ptr<Writer>> Writer::Append(S3Client& client, Location object) {
  std::unique_ptr<Writer> writer(new Writer(client, std::move(object)));
  writer->closed_ = true;  // until it is complete: the destructor must not commit it
  TRY(std::optional<ObjectInfo> info, client.Head(writer->object_));
  if (info) {
    writer->dirty_ = false;
    if (info->size >= kSmallestPart) {
      writer->base_ = info->size;
    } else {
      TRY(writer->buffer_, client.Get(writer->object_, 0, info->size));
    }
  }
  writer->closed_ = false;
  return writer;
}

Writer::~Writer() {
  if (!closed_) {
    if (Result<void> result = Close(); !result) {
      std::fprintf(stderr, "sagebrush: %s was not closed and could not be written: %s\n", object_.Uri().c_str(),
                   result.error().message.c_str());
    }
  }
  if (!upload_.empty()) static_cast<void>(client_.AbortUpload(object_, upload_));
}

Result<void> Writer::Keep(Result<void> result) {
  if (!result && state_) state_ = result;
  return result;
}

// Parts grow slowly, so that the 10,000 of an upload hold 4 TiB.
size_t Writer::PartSize() const { return kPart << std::min<size_t>(etags_.size() / 1'000, 7); }

Result<void> Writer::StartUpload() {
  TRY(upload_, client_.BeginUpload(object_));
  etags_.clear();
  for (uint64_t offset = 0; offset < base_;) {
    uint64_t left = base_ - offset;
    // No piece may be smaller than a part, so the last two share what is left.
    uint64_t length = left <= kLargestCopy ? left : std::min(kLargestCopy, left - kSmallestPart);
    TRY(std::string etag,
        client_.CopyPart(object_, upload_, static_cast<int>(etags_.size()) + 1, object_, offset, length));
    etags_.push_back(std::move(etag));
    offset += length;
  }
  return {};
}

Result<void> Writer::SendPart() {
  if (upload_.empty()) TRYV(StartUpload());
  TRY(std::string etag, client_.UploadPart(object_, upload_, static_cast<int>(etags_.size()) + 1, buffer_));
  etags_.push_back(std::move(etag));
  sent_ += buffer_.size();
  buffer_.clear();
  return {};
}

Result<void> Writer::Write(std::string_view data) {
  TRYV(state_);
  while (!data.empty()) {
    size_t taken = std::min(data.size(), PartSize() - std::min(PartSize(), buffer_.size()));
    buffer_.append(data.substr(0, taken));
    data.remove_prefix(taken);
    dirty_ = true;
    if (buffer_.size() >= PartSize()) TRYV(Keep(SendPart()));
  }
  return {};
}

Result<void> Writer::Finish() {
  if (!dirty_) return {};
  if (base_ == 0 && upload_.empty()) {
    TRYV(client_.Put(object_, buffer_));
  } else {
    if (!buffer_.empty()) TRYV(SendPart());
    TRYV(client_.CompleteUpload(object_, upload_, etags_, base_ + sent_));
    upload_.clear();
    base_ += sent_;
    sent_ = 0;
  }
  dirty_ = false;
  return {};
}

Result<void> Writer::Flush() {
  TRYV(state_);
  return base_ == 0 && upload_.empty() ? Keep(Finish()) : Result<void>();
}

Result<void> Writer::Commit() {
  TRYV(state_);
  return Keep(Finish());
}

Result<void> Writer::Close() {
  closed_ = true;
  return Commit();
}

}  // namespace sagebrush::tfs3
