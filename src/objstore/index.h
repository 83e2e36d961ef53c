#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "db/store.h"
#include "objstore/blob_files.h"
#include "objstore/object_store.h"

// The tables of the object store and the statements on them that several operations share. Every function runs inside
// a transaction of db::Store.
namespace sagebrush::objstore {

// Tables:
//   buckets   one row per bucket
//   contents  immutable bytes: inline, or (bytes NULL) in the blob file of that name; `refs` counts the rows of objects
//             and parts that hold it, and a content without any is deleted in the same transaction
//   objects   key → content, ordered by the bytes of the key
//   uploads, parts   multipart uploads in progress
extern const db::Migrations kMigrations;

struct StoredContent {
  int64_t id = 0;
  std::string name;
  uint64_t size = 0;
  bool in_file = false;
};
struct StoredObject {
  ObjectInfo info;
  StoredContent content;
};

// Contents that lost their last reference in a transaction; their files go after its commit.
using Dropped = std::vector<StoredContent>;

std::string EncodeFields(const std::map<std::string, std::string>& fields);
Result<std::map<std::string, std::string>> DecodeFields(std::string_view text);

Error NoSuchKey(const std::string& key);
Result<void> RequireBucket(db::Transaction& tx, const std::string& bucket);
Result<std::optional<StoredObject>> FindObject(db::Transaction& tx, const std::string& bucket, const std::string& key);
Result<StoredObject> RequireObject(db::Transaction& tx, const std::string& bucket, const std::string& key);
Result<std::string> ReadInline(db::Transaction& tx, int64_t content);
// The If-None-Match and If-Match of a write.
Result<void> CheckWriteConditions(db::Transaction& tx, const std::string& bucket, const std::string& key,
                                  const std::string& if_none_match, const std::string& if_match);

// Inserts with one reference, which the caller's row then holds.
Result<int64_t> InsertContent(db::Transaction& tx, const Staging& staging);
Result<void> AddReference(db::Transaction& tx, int64_t content);
Result<void> RemoveReference(db::Transaction& tx, int64_t content, Dropped& dropped);
// Makes the key name `content` (whose reference passes to the row) in place of what it named.
Result<void> ReplaceObject(db::Transaction& tx, const std::string& bucket, const ObjectInfo& info, int64_t content,
                           const std::string& upload_id, Dropped& dropped);

}  // namespace sagebrush::objstore
