#include "objstore/local_store.h"

#include <fcntl.h>

#include "base/failpoint.h"
#include "objstore/names.h"

namespace sagebrush::objstore {

Result<std::unique_ptr<ObjectStore>> ObjectStore::Open(const std::filesystem::path& directory, BlobOwner owner,
                                                       const Clock& clock) {
  BlobFiles files(directory, owner);
  TRYV(files.Prepare());
  TRY(std::unique_ptr<db::Store> index, db::OpenSqlite((directory / "objects.db").string(), kMigrations));
  TRYV(io::SyncDirectory(directory));
  auto store = std::make_unique<LocalStore>(std::move(index), std::move(files), clock);
  TRYV(store->Sweep());
  return store;
}

Result<void> LocalStore::Sweep() {
  auto named = [this](std::string_view condition) {
    return [this, sql = "SELECT name FROM contents WHERE name >= ? AND name < ? AND bytes IS " +
                        std::string(condition)](const std::string& xx) -> Result<std::set<std::string>> {
      std::set<std::string> names;
      TRYV(index_->Read([&](db::Transaction& tx) {
        return tx.ForEach(sql, {xx, PrefixEnd(xx)}, [&names](const db::Row& row) {
          names.insert(row.Text(0));
          return true;
        });
      }));
      return names;
    };
  };
  return files_.Sweep(named("NULL"), named("NOT NULL"));
}

Result<void> LocalStore::WriteAndDrop(std::function<Result<void>(db::Transaction&, Dropped&)> function) {
  Dropped dropped;
  FAILPOINT("objstore.before_commit");
  TRYV(index_->Write([&](db::Transaction& tx) {
    dropped.clear();
    return function(tx, dropped);
  }));
  FAILPOINT("objstore.after_commit");
  for (const StoredContent& content : dropped) files_.Drop(content.name, content.in_file);
  return {};
}

Result<void> LocalStore::CreateBucket(const std::string& bucket) {
  TRYV(ValidateBucketName(bucket));
  return index_->Write([&](db::Transaction& tx) -> Result<void> {
    TRY(auto rows, tx.Query("SELECT 1 FROM buckets WHERE name = ?", {bucket}));
    if (!rows.empty()) {
      return Fail(Error(ErrorKind::kAlreadyExists,
                        "Your previous request to create the named bucket succeeded and you already own it.",
                        "BucketAlreadyOwnedByYou"));
    }
    TRYV(tx.Execute("INSERT INTO buckets (name, created_ms) VALUES (?, ?)", {bucket, clock_.NowMs()}));
    return {};
  });
}

Result<void> LocalStore::DeleteBucket(const std::string& bucket) {
  return WriteAndDrop([&](db::Transaction& tx, Dropped& dropped) -> Result<void> {
    TRYV(RequireBucket(tx, bucket));
    TRY(auto objects, tx.Query("SELECT 1 FROM objects WHERE bucket = ? LIMIT 1", {bucket}));
    if (!objects.empty()) {
      return Fail(Error(ErrorKind::kFailedPrecondition,
                        "The bucket you tried to delete is not empty: delete its objects first.", "BucketNotEmpty"));
    }
    // As on S3, uploads in progress do not keep a bucket; their parts go with it.
    TRY(auto parts,
        tx.Query("SELECT content FROM parts WHERE upload IN (SELECT id FROM uploads WHERE bucket = ?)", {bucket}));
    for (const db::Row& part : parts) TRYV(RemoveReference(tx, part.Int(0), dropped));
    TRYV(tx.Execute("DELETE FROM parts WHERE upload IN (SELECT id FROM uploads WHERE bucket = ?)", {bucket}));
    TRYV(tx.Execute("DELETE FROM uploads WHERE bucket = ?", {bucket}));
    TRYV(tx.Execute("DELETE FROM buckets WHERE name = ?", {bucket}));
    return {};
  });
}

Result<BucketInfo> LocalStore::HeadBucket(const std::string& bucket) {
  BucketInfo info{bucket, 0};
  TRYV(index_->Read([&](db::Transaction& tx) -> Result<void> {
    TRYV(RequireBucket(tx, bucket));
    TRY(auto rows, tx.Query("SELECT created_ms FROM buckets WHERE name = ?", {bucket}));
    info.created_ms = rows[0].Int(0);
    return {};
  }));
  return info;
}

Result<std::vector<BucketInfo>> LocalStore::ListBuckets() {
  std::vector<BucketInfo> buckets;
  TRYV(index_->Read([&](db::Transaction& tx) {
    return tx.ForEach("SELECT name, created_ms FROM buckets ORDER BY name", {}, [&](const db::Row& row) {
      buckets.push_back({row.Text(0), row.Int(1)});
      return true;
    });
  }));
  return buckets;
}

Result<ObjectInfo> LocalStore::Head(const std::string& bucket, const std::string& key) {
  std::optional<StoredObject> object;
  TRYV(index_->Read([&](db::Transaction& tx) -> Result<void> {
    TRY(object, RequireObject(tx, bucket, key));
    return {};
  }));
  return std::move(object->info);
}

Result<ObjectContent> LocalStore::Get(const std::string& bucket, const std::string& key) {
  for (int attempt = 0; attempt < kReadAttempts; ++attempt) {
    std::optional<StoredObject> object;
    ObjectContent content;
    TRYV(index_->Read([&](db::Transaction& tx) -> Result<void> {
      TRY(object, RequireObject(tx, bucket, key));
      if (!object->content.in_file) {
        TRY(content.inline_bytes, ReadInline(tx, object->content.id));
      }
      return {};
    }));
    content.info = std::move(object->info);
    if (!object->content.in_file) return content;
    Result<io::UniqueFd> file = io::Open(files_.BlobPath(object->content.name), O_RDONLY);
    if (file) {
      content.file = std::move(*file);
      return content;
    }
    if (file.error().kind != ErrorKind::kNotFound) return Fail(std::move(file).error());
  }
  return Fail(Error(ErrorKind::kDataLoss, "The blob file of the object '" + key + "' in bucket '" + bucket +
                                              "' is missing from the store's directory."));
}

Result<void> LocalStore::Delete(const std::string& bucket, const std::string& key) { return DeleteMany(bucket, {key}); }

Result<void> LocalStore::DeleteMany(const std::string& bucket, const std::vector<std::string>& keys) {
  return WriteAndDrop([&](db::Transaction& tx, Dropped& dropped) -> Result<void> {
    TRYV(RequireBucket(tx, bucket));
    for (const std::string& key : keys) {
      TRY(auto rows, tx.Query("DELETE FROM objects WHERE bucket = ? AND key = ? RETURNING content", {bucket, key}));
      if (!rows.empty()) TRYV(RemoveReference(tx, rows[0].Int(0), dropped));
    }
    return {};
  });
}

Result<ObjectInfo> LocalStore::Copy(const std::string& from_bucket, const std::string& from_key,
                                    const std::string& bucket, const std::string& key,
                                    std::optional<PutOptions> replacement) {
  TRYV(ValidateKey(key));
  ObjectInfo info;
  TRYV(WriteAndDrop([&](db::Transaction& tx, Dropped& dropped) -> Result<void> {
    TRY(StoredObject source, RequireObject(tx, from_bucket, from_key));
    TRYV(RequireBucket(tx, bucket));
    info = std::move(source.info);
    info.key = key;
    info.modified_ms = clock_.NowMs();
    if (replacement) {
      TRYV(CheckWriteConditions(tx, bucket, key, replacement->if_none_match, replacement->if_match));
      info.content_type = replacement->content_type;
      info.headers = replacement->headers;
      info.metadata = replacement->metadata;
    }
    TRYV(AddReference(tx, source.content.id));
    return ReplaceObject(tx, bucket, info, source.content.id, "", dropped);
  }));
  return info;
}

Result<ObjectInfo> LocalStore::CommitObject(const std::string& bucket, ObjectInfo info, Staging& staging,
                                            const PutOptions& options) {
  TRYV(staging.Seal());
  TRYV(WriteAndDrop([&](db::Transaction& tx, Dropped& dropped) -> Result<void> {
    TRYV(RequireBucket(tx, bucket));
    TRYV(CheckWriteConditions(tx, bucket, info.key, options.if_none_match, options.if_match));
    info.modified_ms = clock_.NowMs();
    TRY(int64_t content, InsertContent(tx, staging));
    TRYV(ReplaceObject(tx, bucket, info, content, "", dropped));
    return {};
  }));
  staging.Keep();
  return info;
}

}  // namespace sagebrush::objstore
