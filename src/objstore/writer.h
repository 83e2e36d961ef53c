#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "objstore/blob_files.h"
#include "objstore/checksum.h"
#include "objstore/object_store.h"

namespace sagebrush::objstore {

// Hashes bytes as they pass: the MD5 that is the ETag, and the checksum that the client asked for.
class Hasher {
 public:
  // InvalidRequest for an unknown algorithm, InvalidDigest for a malformed Content-MD5 or checksum.
  static Result<Hasher> Create(ChecksumRequest checksum, std::string content_md5);
  void Update(std::string_view data);
  void SetExpected(std::string algorithm, std::string base64);
  // Verifies, and fills in etag, checksum_algorithm and checksum. Once.
  Result<void> Finish(ObjectInfo& info);

 private:
  Hasher() : md5_(DigestAlgorithm::kMd5) {}
  Digest md5_;
  std::optional<Checksum> checksum_;
  ChecksumRequest request_;
  std::string content_md5_;
};

// A writer over a staged content; `commit` makes it visible.
class StagedWriter final : public ObjectWriter {
 public:
  using CommitFunction = std::function<Result<ObjectInfo>(ObjectInfo info, Staging& staging)>;
  // Bytes beyond `max_bytes` are EntityTooLarge.
  StagedWriter(const BlobFiles& files, Hasher hasher, ObjectInfo info, uint64_t max_bytes, CommitFunction commit)
      : staging_(files),
        hasher_(std::move(hasher)),
        info_(std::move(info)),
        max_bytes_(max_bytes),
        commit_(std::move(commit)) {}

  Result<void> Append(std::string_view data) override;
  void SetExpectedChecksum(std::string algorithm, std::string base64) override;
  Result<ObjectInfo> Commit() override;

 private:
  Staging staging_;
  Hasher hasher_;
  ObjectInfo info_;
  uint64_t max_bytes_;
  CommitFunction commit_;
};

// S3's limits: 5 GiB in one PUT or part. A multipart object may have 10,000 parts.
inline constexpr uint64_t kLargestPut = uint64_t{5} << 30;
inline constexpr uint64_t kSmallestPart = uint64_t{5} << 20;
inline constexpr int kMostParts = 10'000;

}  // namespace sagebrush::objstore
