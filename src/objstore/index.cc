#include "objstore/index.h"

#include <array>
#include <charconv>

#include "objstore/names.h"

namespace sagebrush::objstore {
namespace {

constexpr std::array<std::string_view, 1> kStatements = {R"sql(
CREATE TABLE buckets (
  name TEXT PRIMARY KEY,
  created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE contents (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  size INTEGER NOT NULL,
  refs INTEGER NOT NULL,
  bytes BLOB
) STRICT;

CREATE TABLE objects (
  bucket TEXT NOT NULL REFERENCES buckets (name),
  key TEXT NOT NULL,
  content INTEGER NOT NULL,
  size INTEGER NOT NULL,
  etag TEXT NOT NULL,
  modified_ms INTEGER NOT NULL,
  content_type TEXT NOT NULL,
  headers BLOB NOT NULL,
  metadata BLOB NOT NULL,
  checksum_algorithm TEXT NOT NULL,
  checksum TEXT NOT NULL,
  upload TEXT NOT NULL,
  PRIMARY KEY (bucket, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE uploads (
  id TEXT PRIMARY KEY,
  bucket TEXT NOT NULL REFERENCES buckets (name),
  key TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  content_type TEXT NOT NULL,
  headers BLOB NOT NULL,
  metadata BLOB NOT NULL,
  checksum_algorithm TEXT NOT NULL,
  full_object INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX uploads_by_key ON uploads (bucket, key, created_ms);

CREATE TABLE parts (
  upload TEXT NOT NULL REFERENCES uploads (id),
  number INTEGER NOT NULL,
  content INTEGER NOT NULL,
  size INTEGER NOT NULL,
  etag TEXT NOT NULL,
  modified_ms INTEGER NOT NULL,
  checksum TEXT NOT NULL,
  PRIMARY KEY (upload, number)
) STRICT, WITHOUT ROWID;
)sql"};

constexpr std::string_view kFind =
    "SELECT o.size, o.etag, o.modified_ms, o.content_type, o.headers, o.metadata, o.checksum_algorithm, o.checksum, "
    "c.id, c.name, c.bytes IS NULL FROM objects o JOIN contents c ON c.id = o.content WHERE o.bucket = ? AND o.key = ?";

}  // namespace

const db::Migrations kMigrations = kStatements;

// Netstrings: "5:names,6:values," per field, so that no byte needs escaping.
std::string EncodeFields(const std::map<std::string, std::string>& fields) {
  std::string out;
  for (const auto& [name, value] : fields) {
    for (const std::string* text : {&name, &value}) out += std::to_string(text->size()) + ':' + *text + ',';
  }
  return out;
}

Result<std::map<std::string, std::string>> DecodeFields(std::string_view text) {
  std::vector<std::string> strings;
  while (!text.empty()) {
    size_t length = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
    size_t begin = static_cast<size_t>(end - text.data()) + 1;
    if (error != std::errc() || begin + length >= text.size() || *end != ':' || text[begin + length] != ',') {
      return Fail(Error(ErrorKind::kDataLoss, "The stored headers of an object are damaged."));
    }
    strings.emplace_back(text.substr(begin, length));
    text.remove_prefix(begin + length + 1);
  }
  std::map<std::string, std::string> fields;
  for (size_t i = 0; i + 1 < strings.size(); i += 2) fields[strings[i]] = strings[i + 1];
  return fields;
}

Error NoSuchKey(const std::string& key) {
  return NotFound("The specified key does not exist: '" + key + "'.", "NoSuchKey");
}

Result<void> RequireBucket(db::Transaction& tx, const std::string& bucket) {
  TRY(auto rows, tx.Query("SELECT 1 FROM buckets WHERE name = ?", {bucket}));
  if (rows.empty()) return Fail(NotFound("The specified bucket does not exist: '" + bucket + "'.", "NoSuchBucket"));
  return {};
}

Result<std::optional<StoredObject>> FindObject(db::Transaction& tx, const std::string& bucket, const std::string& key) {
  TRY(auto rows, tx.Query(kFind, {bucket, key}));
  if (rows.empty()) return std::optional<StoredObject>();
  const db::Row& row = rows[0];
  StoredObject object;
  object.info.key = key;
  object.info.size = static_cast<uint64_t>(row.Int(0));
  object.info.etag = row.Text(1);
  object.info.modified_ms = row.Int(2);
  object.info.content_type = row.Text(3);
  TRY(object.info.headers, DecodeFields(row.Bytes(4)));
  TRY(object.info.metadata, DecodeFields(row.Bytes(5)));
  object.info.checksum_algorithm = row.Text(6);
  object.info.checksum = row.Text(7);
  object.content = {row.Int(8), row.Text(9), object.info.size, row.Int(10) != 0};
  return std::optional<StoredObject>(std::move(object));
}

Result<StoredObject> RequireObject(db::Transaction& tx, const std::string& bucket, const std::string& key) {
  TRYV(RequireBucket(tx, bucket));
  TRY(std::optional<StoredObject> found, FindObject(tx, bucket, key));
  if (!found) return Fail(NoSuchKey(key));
  return *std::move(found);
}

Result<std::string> ReadInline(db::Transaction& tx, int64_t content) {
  TRY(auto rows, tx.Query("SELECT bytes FROM contents WHERE id = ? AND bytes IS NOT NULL", {content}));
  if (rows.empty())
    return Fail(Error(ErrorKind::kDataLoss, "The bytes of a stored object are missing from the index."));
  return rows[0].Bytes(0);
}

Result<void> CheckWriteConditions(db::Transaction& tx, const std::string& bucket, const std::string& key,
                                  const std::string& if_none_match, const std::string& if_match) {
  if (if_none_match.empty() && if_match.empty()) return {};
  if (!if_none_match.empty() && if_none_match != "*") {
    return Fail(Error(ErrorKind::kUnsupported, "If-None-Match of a write must be '*'.", "NotImplemented"));
  }
  TRY(auto rows, tx.Query("SELECT etag FROM objects WHERE bucket = ? AND key = ?", {bucket, key}));
  auto failed = [] {
    return Fail(Error(ErrorKind::kFailedPrecondition, "At least one of the pre-conditions you specified did not hold.",
                      "PreconditionFailed"));
  };
  if (!if_none_match.empty() && !rows.empty()) return failed();
  if (if_match.empty()) return {};
  if (rows.empty()) return Fail(NoSuchKey(key));
  if (if_match != "*" && rows[0].Text(0) != BareEtag(if_match)) return failed();
  return {};
}

Result<int64_t> InsertContent(db::Transaction& tx, const Staging& staging) {
  db::Value bytes = nullptr;
  if (!staging.in_file()) bytes = db::Blob{staging.inline_bytes()};
  TRY(auto rows, tx.Query("INSERT INTO contents (name, size, refs, bytes) VALUES (?, ?, 1, ?) RETURNING id",
                          {staging.name(), static_cast<int64_t>(staging.size()), std::move(bytes)}));
  return rows[0].Int(0);
}

Result<void> AddReference(db::Transaction& tx, int64_t content) {
  TRYV(tx.Execute("UPDATE contents SET refs = refs + 1 WHERE id = ?", {content}));
  return {};
}

Result<void> RemoveReference(db::Transaction& tx, int64_t content, Dropped& dropped) {
  TRY(auto rows, tx.Query("UPDATE contents SET refs = refs - 1 WHERE id = ? RETURNING refs, name, size, bytes IS NULL",
                          {content}));
  if (rows.empty())
    return Fail(Error(ErrorKind::kDataLoss, "The content of a stored object is missing from the index."));
  if (rows[0].Int(0) > 0) return {};
  TRYV(tx.Execute("DELETE FROM contents WHERE id = ?", {content}));
  dropped.push_back({content, rows[0].Text(1), static_cast<uint64_t>(rows[0].Int(2)), rows[0].Int(3) != 0});
  return {};
}

Result<void> ReplaceObject(db::Transaction& tx, const std::string& bucket, const ObjectInfo& info, int64_t content,
                           const std::string& upload_id, Dropped& dropped) {
  TRY(auto former, tx.Query("SELECT content FROM objects WHERE bucket = ? AND key = ?", {bucket, info.key}));
  TRYV(
      tx.Execute("INSERT OR REPLACE INTO objects (bucket, key, content, size, etag, modified_ms, content_type, "
                 "headers, metadata, checksum_algorithm, checksum, upload) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
                 {bucket, info.key, content, static_cast<int64_t>(info.size), info.etag, info.modified_ms,
                  info.content_type, db::Blob{EncodeFields(info.headers)}, db::Blob{EncodeFields(info.metadata)},
                  info.checksum_algorithm, info.checksum, upload_id}));
  if (!former.empty()) TRYV(RemoveReference(tx, former[0].Int(0), dropped));
  return {};
}

}  // namespace sagebrush::objstore
