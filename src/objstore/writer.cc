#include "objstore/writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/failpoint.h"
#include "base/text.h"
#include "objstore/local_store.h"
#include "objstore/names.h"

namespace sagebrush::objstore {
namespace {

constexpr size_t kReadChunk = 1 << 20;

Error BadDigest(std::string_view what, const std::string& expected, const std::string& computed) {
  return InvalidArgument("The " + std::string(what) + " you specified (" + expected +
                             ") did not match what we received (" + computed + "); send the object again.",
                         "BadDigest");
}

Result<void> HashFile(int fd, uint64_t size, Hasher& hasher) {
  for (uint64_t offset = 0; offset < size;) {
    TRY(std::string piece, io::ReadAt(fd, offset, kReadChunk));
    if (piece.empty()) return Fail(Error(ErrorKind::kUnavailable, "The file became shorter while it was read."));
    hasher.Update(piece);
    offset += piece.size();
  }
  return {};
}

ObjectInfo InfoOf(const std::string& key, const PutOptions& options) {
  ObjectInfo info;
  info.key = key;
  info.content_type = options.content_type;
  info.headers = options.headers;
  info.metadata = options.metadata;
  return info;
}

}  // namespace

Result<Hasher> Hasher::Create(ChecksumRequest checksum, std::string content_md5) {
  Hasher hasher;
  if (!content_md5.empty()) {
    std::optional<std::string> raw = Base64Decode(content_md5);
    if (!raw || raw->size() != 16) {
      return Fail(InvalidArgument("The Content-MD5 you specified is not valid: it must be 16 bytes in base64.",
                                  "InvalidDigest"));
    }
    hasher.content_md5_ = Base64Encode(*raw);
  }
  if (!checksum.algorithm.empty()) {
    TRY(hasher.checksum_, Checksum::Create(checksum.algorithm));
    if (!checksum.expected.empty() && !IsWellFormedChecksum(checksum.algorithm, checksum.expected)) {
      return Fail(InvalidArgument("Value for x-amz-checksum-" + ToLower(checksum.algorithm) + " header is invalid.",
                                  "InvalidRequest"));
    }
  }
  hasher.request_ = std::move(checksum);
  return hasher;
}

void Hasher::Update(std::string_view data) {
  md5_.Update(data);
  if (checksum_) checksum_->Update(data);
}

void Hasher::SetExpected(std::string algorithm, std::string base64) {
  request_.algorithm = std::move(algorithm);
  request_.expected = std::move(base64);
}

Result<void> Hasher::Finish(ObjectInfo& info) {
  std::string md5 = md5_.Finish();
  if (!content_md5_.empty() && content_md5_ != Base64Encode(md5)) {
    return Fail(BadDigest("Content-MD5", content_md5_, Base64Encode(md5)));
  }
  info.etag = HexEncode(md5);
  if (request_.algorithm.empty()) return {};
  if (!checksum_) {
    return Fail(InvalidArgument("A trailing checksum needs its algorithm announced in the x-amz-trailer header.",
                                "InvalidRequest"));
  }
  info.checksum_algorithm = request_.algorithm;
  info.checksum = Base64Encode(checksum_->Finish());
  if (!request_.expected.empty() && request_.expected != info.checksum) {
    return Fail(BadDigest(info.checksum_algorithm, request_.expected, info.checksum));
  }
  return {};
}

Result<void> StagedWriter::Append(std::string_view data) {
  if (data.size() > max_bytes_ - staging_.size()) {
    return Fail(InvalidArgument("Your proposed upload exceeds the maximum allowed size of " +
                                    std::to_string(max_bytes_) + " bytes: use a multipart upload.",
                                "EntityTooLarge"));
  }
  hasher_.Update(data);
  return staging_.Append(data);
}

void StagedWriter::SetExpectedChecksum(std::string algorithm, std::string base64) {
  hasher_.SetExpected(std::move(algorithm), std::move(base64));
}

Result<ObjectInfo> StagedWriter::Commit() {
  info_.size = staging_.size();
  TRYV(hasher_.Finish(info_));
  return commit_(info_, staging_);
}

Result<std::unique_ptr<ObjectWriter>> LocalStore::Put(const std::string& bucket, const std::string& key,
                                                      PutOptions options) {
  TRYV(ValidateKey(key));
  TRY(Hasher hasher, Hasher::Create(options.checksum, options.content_md5));
  TRYV(index_->Read([&](db::Transaction& tx) -> Result<void> {
    TRYV(RequireBucket(tx, bucket));
    return CheckWriteConditions(tx, bucket, key, options.if_none_match, options.if_match);
  }));
  ObjectInfo info = InfoOf(key, options);
  return std::make_unique<StagedWriter>(
      files_, std::move(hasher), std::move(info), kLargestPut,
      [this, bucket, options = std::move(options)](ObjectInfo info, Staging& staging) {
        return CommitObject(bucket, std::move(info), staging, options);
      });
}

Result<ObjectInfo> LocalStore::PutFile(const std::string& bucket, const std::string& key,
                                       const std::filesystem::path& path, PutOptions options) {
  TRYV(ValidateKey(key));
  TRY(Hasher hasher, Hasher::Create(options.checksum, options.content_md5));
  TRY(io::UniqueFd source, io::Open(path, O_RDONLY | O_NOFOLLOW));
  struct stat status{};
  if (::fstat(source.get(), &status) != 0) return Fail(FromErrno(errno, "cannot stat " + path.string()));
  if (!S_ISREG(status.st_mode)) return Fail(InvalidArgument(path.string() + " is not a regular file."));
  ObjectInfo info = InfoOf(key, options);
  info.size = static_cast<uint64_t>(status.st_size);
  Staging staging(files_);
  // A link, not a rename: a crash before the commit leaves the file where it was. A file with other names could still
  // change under them, so it is copied, as is one on another file system.
  bool adopted = info.size > kInlineBytes && status.st_nlink == 1 && staging.AdoptLink(path, info.size);
  if (!adopted) TRYV(staging.AppendFile(source.get(), info.size));
  if (staging.in_file()) {
    TRYV(HashFile(adopted ? source.get() : staging.file(), info.size, hasher));
  } else {
    hasher.Update(staging.inline_bytes());
  }
  TRYV(hasher.Finish(info));
  TRY(ObjectInfo stored, CommitObject(bucket, std::move(info), staging, options));
  FAILPOINT("objstore.before_source_unlink");
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return Fail(FromErrno(errno, "cannot remove " + path.string()));
  return stored;
}

}  // namespace sagebrush::objstore
