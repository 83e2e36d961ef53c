#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/hash.h"
#include "base/result.h"
#include "io/file.h"

namespace sagebrush::objstore {

// The user and group that own blob files: an instance's programs see them as root's own and may chmod or append to
// their overlaid copies, never to the blob. {100000, 100000} under root, otherwise the engine's own.
struct BlobOwner {
  uid_t uid;
  gid_t gid;
};

struct BucketInfo {
  std::string name;
  int64_t created_ms = 0;
};

struct ObjectInfo {
  std::string key;
  uint64_t size = 0;
  std::string etag;  // without quotes; "<md5>" or "<md5 of part md5s>-<parts>"
  int64_t modified_ms = 0;
  std::string content_type;
  std::map<std::string, std::string> headers;   // Content-Encoding, Cache-Control, … as stored
  std::map<std::string, std::string> metadata;  // x-amz-meta-*, lower-case names without the prefix
  // Checksum the client asked for: "CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256" and its base64 (with "-<parts>" if
  // composite).
  std::string checksum_algorithm;
  std::string checksum;
};

// Where the bytes of an object are: small ones in memory, others in an immutable file.
struct ObjectContent {
  ObjectInfo info;
  std::string inline_bytes;
  io::UniqueFd file;  // unset for an inline object
};

struct ChecksumRequest {
  std::string algorithm;  // "" for none
  std::string expected;   // base64; "" when it comes in a trailer, then SetExpectedChecksum
  // For CreateMultipart: the checksum of the whole object rather than one of the parts' checksums. CRC algorithms only;
  // CRC64NVME is always so.
  bool full_object = false;
};

struct PutOptions {
  std::string content_type;
  std::map<std::string, std::string> headers;
  std::map<std::string, std::string> metadata;
  ChecksumRequest checksum;
  std::string content_md5;    // base64; "" for none
  std::string if_none_match;  // "*": only when the key is absent, else code PreconditionFailed
  std::string if_match;       // an ETag: only when the key holds it, else PreconditionFailed (NoSuchKey when absent)
};

// Takes the bytes of one object or part, then Commit. Destroyed without Commit it leaves nothing behind.
// One thread at a time; calls block.
class ObjectWriter {
 public:
  virtual ~ObjectWriter() = default;
  virtual Result<void> Append(std::string_view data) = 0;
  // For a checksum that arrives in an aws-chunked trailer.
  virtual void SetExpectedChecksum(std::string algorithm, std::string base64) = 0;
  // Verifies MD5 and checksum (codes BadDigest, InvalidDigest), makes the object durable and visible in one step.
  virtual Result<ObjectInfo> Commit() = 0;
};

struct ListRequest {
  std::string prefix, delimiter;
  std::string start_after;  // keys strictly greater than this (a marker or a decoded continuation token)
  size_t max_keys = 1000;
};
struct ListResult {
  std::vector<ObjectInfo> objects;
  std::vector<std::string> common_prefixes;
  bool truncated = false;
  std::string next;  // pass as start_after
};

struct MultipartUpload {
  std::string key, upload_id;
  int64_t created_ms = 0;
  std::string checksum_algorithm;
};
struct PartInfo {
  int number = 0;
  std::string etag;
  uint64_t size = 0;
  int64_t modified_ms = 0;
  std::string checksum_algorithm, checksum;
};
struct CompletedPart {
  int number = 0;
  std::string etag;      // with or without quotes
  std::string checksum;  // base64, "" for none
};
struct CompleteOptions {
  std::string checksum;                 // of the whole object, base64 ("…-N" when composite); "" for none
  std::string if_none_match, if_match;  // as in PutOptions
  std::optional<uint64_t> size;         // of the whole object, when the client states it
};

// One share of a prefix that several instances divide (S3DataDistributionType ShardedByS3Key): the objects in key order
// are dealt round-robin, so the share of `rank` is every object whose position modulo `count` is `rank`.
struct Shard {
  int rank = 0;
  int count = 1;
};
struct LinkedPrefix {
  uint64_t files = 0;
  uint64_t bytes = 0;
};

// Buckets and objects. Thread-safe; every call blocks. Errors carry S3's codes: NoSuchBucket, NoSuchKey,
// NoSuchUpload, BucketNotEmpty, BucketAlreadyOwnedByYou, InvalidBucketName, InvalidPart, InvalidPartOrder,
// EntityTooSmall, BadDigest, InvalidDigest, InvalidRequest, InvalidArgument, PreconditionFailed, KeyTooLongError.
//
// Durable form: an index in SQLite (objects.db); contents up to kInlineBytes inside it, so that one log sync covers
// many puts; larger ones in immutable files blobs/<xx>/<id>, synced before the index names them. A crash leaves at
// most unnamed blob files, which Open removes. inline/<xx>/<id> caches small contents as files for LinkTo; it is never
// synced, so Open drops it when the machine has restarted since. One process at a time has a directory open (the
// engine's lock sees to it).
class ObjectStore {
 public:
  static constexpr size_t kInlineBytes = 64 * 1024;

  static Result<std::unique_ptr<ObjectStore>> Open(const std::filesystem::path& directory, BlobOwner owner,
                                                   const Clock& clock);
  virtual ~ObjectStore() = default;

  virtual Result<void> CreateBucket(const std::string& bucket) = 0;
  virtual Result<void> DeleteBucket(const std::string& bucket) = 0;
  virtual Result<BucketInfo> HeadBucket(const std::string& bucket) = 0;
  virtual Result<std::vector<BucketInfo>> ListBuckets() = 0;

  virtual Result<std::unique_ptr<ObjectWriter>> Put(const std::string& bucket, const std::string& key,
                                                    PutOptions options) = 0;
  virtual Result<ObjectContent> Get(const std::string& bucket, const std::string& key) = 0;
  virtual Result<ObjectInfo> Head(const std::string& bucket, const std::string& key) = 0;
  virtual Result<void> Delete(const std::string& bucket, const std::string& key) = 0;  // absent key: success
  // Deletes up to all of the keys in one durable step.
  virtual Result<void> DeleteMany(const std::string& bucket, const std::vector<std::string>& keys) = 0;
  // Copies by reference: no bytes move. `replacement` set = x-amz-metadata-directive REPLACE.
  virtual Result<ObjectInfo> Copy(const std::string& from_bucket, const std::string& from_key,
                                  const std::string& bucket, const std::string& key,
                                  std::optional<PutOptions> replacement) = 0;
  virtual Result<ListResult> List(const std::string& bucket, const ListRequest& request) = 0;

  virtual Result<std::string> CreateMultipart(const std::string& bucket, const std::string& key,
                                              PutOptions options) = 0;  // upload id
  virtual Result<std::unique_ptr<ObjectWriter>> PutPart(const std::string& bucket, const std::string& key,
                                                        const std::string& upload_id, int number,
                                                        ChecksumRequest checksum, std::string content_md5) = 0;
  virtual Result<ObjectInfo> CompleteMultipart(const std::string& bucket, const std::string& key,
                                               const std::string& upload_id, std::vector<CompletedPart> parts,
                                               CompleteOptions options = {}) = 0;
  virtual Result<void> AbortMultipart(const std::string& bucket, const std::string& key,
                                      const std::string& upload_id) = 0;
  virtual Result<std::vector<PartInfo>> ListParts(const std::string& bucket, const std::string& key,
                                                  const std::string& upload_id) = 0;
  virtual Result<std::vector<MultipartUpload>> ListMultipart(const std::string& bucket) = 0;

  // Makes `path` (absent before, its parent present) a file with the object's bytes without copying them: a hard link
  // to the blob (made once from the index for an inline object), mode 0644, owned by the blob owner. Falls back to a
  // copy across file systems or past the link limit. The caller shows it to programs only below an overlay.
  virtual Result<void> LinkTo(const std::string& bucket, const std::string& key, const std::filesystem::path& path) = 0;
  // LinkTo for every object that an S3Prefix names, below the existing `directory`; directories are made as needed,
  // mode 0755, owned by the blob owner. `prefix` is a plain key prefix, as on the hosted service, and the paths are:
  //  1. an object of exactly that key: that object alone, under its base name (as the SDK's download_folder does);
  //  2. keys below "<prefix>/" (or below a prefix that ends in "/" or is empty): the key after that slash;
  //  3. keys that only begin alike ("data" also names "data.csv" and "database/x"): the key after the prefix's last
  //  "/".
  // A key that ends in "/" is an empty directory, made in every shard. InvalidArgument, naming the key, for parts "..",
  // ".", "" or longer than 255 bytes, and when two keys want one path or one wants a file where another wants a
  // directory; some links may have been made by then. Naming no object is a success with 0 files.
  virtual Result<LinkedPrefix> LinkPrefix(const std::string& bucket, const std::string& prefix,
                                          const std::filesystem::path& directory, Shard shard = {}) = 0;
  // Puts the file at `path` as the object's content by moving it (same file system) or copying; the file is gone
  // after success. Idempotent with if_none_match "*" only in the sense of PreconditionFailed.
  virtual Result<ObjectInfo> PutFile(const std::string& bucket, const std::string& key,
                                     const std::filesystem::path& path, PutOptions options) = 0;
};

}  // namespace sagebrush::objstore
