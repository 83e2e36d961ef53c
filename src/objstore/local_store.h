#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "db/store.h"
#include "objstore/blob_files.h"
#include "objstore/checksum.h"
#include "objstore/index.h"
#include "objstore/object_store.h"

namespace sagebrush::objstore {

// The object store of object_store.h on this machine's disk. Thread-safe without a lock of its own: transactions of the
// index order everything, and contents are immutable. A reader that loses a race against a delete (the index named a
// blob whose file is gone when it opens it) reads the index again.
class LocalStore final : public ObjectStore {
 public:
  LocalStore(std::unique_ptr<db::Store> index, BlobFiles files, const Clock& clock)
      : index_(std::move(index)), files_(std::move(files)), clock_(clock) {}

  Result<void> Sweep();

  Result<void> CreateBucket(const std::string& bucket) override;
  Result<void> DeleteBucket(const std::string& bucket) override;
  Result<BucketInfo> HeadBucket(const std::string& bucket) override;
  Result<std::vector<BucketInfo>> ListBuckets() override;

  Result<std::unique_ptr<ObjectWriter>> Put(const std::string& bucket, const std::string& key,
                                            PutOptions options) override;
  Result<ObjectContent> Get(const std::string& bucket, const std::string& key) override;
  Result<ObjectInfo> Head(const std::string& bucket, const std::string& key) override;
  Result<void> Delete(const std::string& bucket, const std::string& key) override;
  Result<void> DeleteMany(const std::string& bucket, const std::vector<std::string>& keys) override;
  Result<ObjectInfo> Copy(const std::string& from_bucket, const std::string& from_key, const std::string& bucket,
                          const std::string& key, std::optional<PutOptions> replacement) override;
  Result<ListResult> List(const std::string& bucket, const ListRequest& request) override;

  Result<std::string> CreateMultipart(const std::string& bucket, const std::string& key, PutOptions options) override;
  Result<std::unique_ptr<ObjectWriter>> PutPart(const std::string& bucket, const std::string& key,
                                                const std::string& upload_id, int number, ChecksumRequest checksum,
                                                std::string content_md5) override;
  Result<ObjectInfo> CompleteMultipart(const std::string& bucket, const std::string& key, const std::string& upload_id,
                                       std::vector<CompletedPart> parts, CompleteOptions options) override;
  Result<void> AbortMultipart(const std::string& bucket, const std::string& key, const std::string& upload_id) override;
  Result<std::vector<PartInfo>> ListParts(const std::string& bucket, const std::string& key,
                                          const std::string& upload_id) override;
  Result<std::vector<MultipartUpload>> ListMultipart(const std::string& bucket) override;

  Result<void> LinkTo(const std::string& bucket, const std::string& key, const std::filesystem::path& path) override;
  Result<LinkedPrefix> LinkPrefix(const std::string& bucket, const std::string& prefix,
                                  const std::filesystem::path& directory, Shard shard) override;
  Result<ObjectInfo> PutFile(const std::string& bucket, const std::string& key, const std::filesystem::path& path,
                             PutOptions options) override;

  // For the writers (writer.cc).
  // Seals `staging` and makes the key name it.
  Result<ObjectInfo> CommitObject(const std::string& bucket, ObjectInfo info, Staging& staging,
                                  const PutOptions& options);
  Result<ObjectInfo> CommitPart(const std::string& bucket, const std::string& key, const std::string& upload_id,
                                int number, ObjectInfo info, Staging& staging);
  const BlobFiles& files() const { return files_; }

 private:
  // A Write whose dropped contents lose their files after the commit.
  Result<void> WriteAndDrop(std::function<Result<void>(db::Transaction&, Dropped&)> function);
  // LinkTo of a stored content: hard link to its blob or cached file, which `inline_bytes` makes when it is absent.
  Result<void> LinkContent(const StoredContent& content, const std::function<Result<std::string>()>& inline_bytes,
                           const std::filesystem::path& path);

  std::unique_ptr<db::Store> index_;
  BlobFiles files_;
  const Clock& clock_;
};

// How often a read that lost a race against a delete is tried again before the store counts as damaged.
inline constexpr int kReadAttempts = 100;

}  // namespace sagebrush::objstore
