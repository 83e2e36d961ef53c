#include <fcntl.h>

#include <algorithm>

#include "base/random.h"
#include "base/text.h"
#include "objstore/local_store.h"
#include "objstore/names.h"
#include "objstore/writer.h"

namespace sagebrush::objstore {
namespace {

struct Upload {
  ObjectInfo info;  // what the object will have: key, content_type, headers, metadata, checksum_algorithm
  bool full_object = false;
};

struct StoredPart {
  PartInfo info;
  StoredContent content;
};

// What a completion puts together.
struct Assembly {
  Upload upload;
  std::vector<StoredPart> parts;
  std::optional<ObjectInfo> finished;  // this very upload was completed before: its object
};

Error NoSuchUpload() {
  return NotFound(
      "The specified multipart upload does not exist. The upload ID may be invalid, or the upload may have "
      "been aborted or completed.",
      "NoSuchUpload");
}

Error InvalidPart(int number) {
  return InvalidArgument("One or more of the specified parts could not be found. Part " + std::to_string(number) +
                             " may not have been uploaded, or its entity tag or checksum may not match.",
                         "InvalidPart");
}

Result<std::optional<Upload>> FindUpload(db::Transaction& tx, const std::string& bucket, const std::string& key,
                                         const std::string& upload_id) {
  TRY(auto rows, tx.Query("SELECT content_type, headers, metadata, checksum_algorithm, full_object FROM uploads "
                          "WHERE id = ? AND bucket = ? AND key = ?",
                          {upload_id, bucket, key}));
  if (rows.empty()) return std::optional<Upload>();
  Upload upload;
  upload.info.key = key;
  upload.info.content_type = rows[0].Text(0);
  TRY(upload.info.headers, DecodeFields(rows[0].Bytes(1)));
  TRY(upload.info.metadata, DecodeFields(rows[0].Bytes(2)));
  upload.info.checksum_algorithm = rows[0].Text(3);
  upload.full_object = rows[0].Int(4) != 0;
  return std::optional<Upload>(std::move(upload));
}

Result<Upload> RequireUpload(db::Transaction& tx, const std::string& bucket, const std::string& key,
                             const std::string& upload_id) {
  TRYV(RequireBucket(tx, bucket));
  TRY(std::optional<Upload> upload, FindUpload(tx, bucket, key, upload_id));
  if (!upload) return Fail(NoSuchUpload());
  return *std::move(upload);
}

Result<std::vector<StoredPart>> LoadParts(db::Transaction& tx, const std::string& upload_id) {
  std::vector<StoredPart> parts;
  TRYV(
      tx.ForEach("SELECT p.number, p.etag, p.size, p.modified_ms, p.checksum, c.id, c.name, c.bytes IS NULL FROM parts "
                 "p JOIN contents c ON c.id = p.content WHERE p.upload = ? ORDER BY p.number",
                 {upload_id}, [&parts](const db::Row& row) {
                   StoredPart part;
                   part.info.number = static_cast<int>(row.Int(0));
                   part.info.etag = row.Text(1);
                   part.info.size = static_cast<uint64_t>(row.Int(2));
                   part.info.modified_ms = row.Int(3);
                   part.info.checksum = row.Text(4);
                   part.content = {row.Int(5), row.Text(6), part.info.size, row.Int(7) != 0};
                   parts.push_back(std::move(part));
                   return true;
                 }));
  return parts;
}

// The parts that the client names, in its order, which must be ascending.
Result<std::vector<StoredPart>> ChooseParts(std::vector<StoredPart> stored, const std::vector<CompletedPart>& named) {
  if (named.empty()) return Fail(InvalidArgument("You must specify at least one part.", "MalformedXML"));
  std::vector<StoredPart> chosen;
  int last = 0;
  for (const CompletedPart& part : named) {
    if (part.number <= last) {
      return Fail(InvalidArgument("The list of parts was not in ascending order. Parts must be ordered by part number.",
                                  "InvalidPartOrder"));
    }
    last = part.number;
    auto found = std::ranges::find(stored, part.number, [](const StoredPart& s) { return s.info.number; });
    if (found == stored.end() || found->info.etag != BareEtag(part.etag) ||
        (!part.checksum.empty() && part.checksum != found->info.checksum)) {
      return Fail(InvalidPart(part.number));
    }
    chosen.push_back(std::move(*found));
  }
  for (size_t i = 0; i + 1 < chosen.size(); ++i) {
    if (chosen[i].info.size < kSmallestPart) {
      return Fail(InvalidArgument("Your proposed upload is smaller than the minimum allowed size: part " +
                                      std::to_string(chosen[i].info.number) + " has " +
                                      std::to_string(chosen[i].info.size) + " bytes, and all but the last need " +
                                      std::to_string(kSmallestPart) + ".",
                                  "EntityTooSmall"));
    }
  }
  return chosen;
}

// The checksum of the whole: of the parts' checksums with "-N", or of the bytes, from the parts' CRCs.
Result<std::string> WholeChecksum(const Assembly& assembly) {
  const std::string& algorithm = assembly.upload.info.checksum_algorithm;
  std::string joined;
  uint64_t size = 0;
  for (const StoredPart& part : assembly.parts) {
    std::string raw = Base64Decode(part.info.checksum).value_or("");
    if (!assembly.upload.full_object) {
      joined += raw;
    } else {
      joined = size == 0 ? raw : CombineCrc(algorithm, joined, raw, part.info.size);
    }
    size += part.info.size;
  }
  if (assembly.upload.full_object) return Base64Encode(joined);
  TRY(Checksum checksum, Checksum::Create(algorithm));
  checksum.Update(joined);
  return Base64Encode(checksum.Finish()) + "-" + std::to_string(assembly.parts.size());
}

Result<ObjectInfo> WholeInfo(const Assembly& assembly, const CompleteOptions& options) {
  ObjectInfo info = assembly.upload.info;
  std::string digests;
  for (const StoredPart& part : assembly.parts) {
    digests += HexDecode(part.info.etag).value_or("");
    info.size += part.info.size;
  }
  if (options.size && *options.size != info.size) {
    return Fail(InvalidArgument("The provided 'x-amz-mp-object-size' header value " + std::to_string(*options.size) +
                                    " does not match what was computed: " + std::to_string(info.size),
                                "InvalidRequest"));
  }
  info.etag = HexEncode(Md5(digests)) + "-" + std::to_string(assembly.parts.size());
  if (info.checksum_algorithm.empty()) return info;
  TRY(info.checksum, WholeChecksum(assembly));
  std::string bare = info.checksum.substr(0, info.checksum.find('-'));
  if (!options.checksum.empty() && options.checksum != info.checksum && options.checksum != bare) {
    return Fail(InvalidArgument("The " + info.checksum_algorithm + " you specified (" + options.checksum +
                                    ") did not match the calculated checksum (" + info.checksum + ").",
                                "BadDigest"));
  }
  return info;
}

Result<Assembly> LoadAssembly(db::Transaction& tx, const std::string& bucket, const std::string& key,
                              const std::string& upload_id, const std::vector<CompletedPart>& named,
                              const CompleteOptions& options) {
  TRYV(RequireBucket(tx, bucket));
  Assembly assembly;
  TRY(std::optional<Upload> upload, FindUpload(tx, bucket, key, upload_id));
  if (!upload) {
    // A client that lost the reply sends the completion again.
    TRY(auto done,
        tx.Query("SELECT 1 FROM objects WHERE bucket = ? AND key = ? AND upload = ?", {bucket, key, upload_id}));
    if (done.empty()) return Fail(NoSuchUpload());
    TRY(StoredObject object, RequireObject(tx, bucket, key));
    assembly.finished = std::move(object.info);
    return assembly;
  }
  assembly.upload = *std::move(upload);
  TRY(std::vector<StoredPart> stored, LoadParts(tx, upload_id));
  TRY(assembly.parts, ChooseParts(std::move(stored), named));
  TRYV(CheckWriteConditions(tx, bucket, key, options.if_none_match, options.if_match));
  return assembly;
}

bool SameContents(const Assembly& a, const Assembly& b) {
  return std::ranges::equal(
      a.parts, b.parts, {}, [](const StoredPart& p) { return p.content.id; },
      [](const StoredPart& p) { return p.content.id; });
}

Result<void> RemoveUpload(db::Transaction& tx, const std::string& upload_id, Dropped& dropped) {
  TRY(std::vector<StoredPart> parts, LoadParts(tx, upload_id));
  for (const StoredPart& part : parts) TRYV(RemoveReference(tx, part.content.id, dropped));
  TRYV(tx.Execute("DELETE FROM parts WHERE upload = ?", {upload_id}));
  TRYV(tx.Execute("DELETE FROM uploads WHERE id = ?", {upload_id}));
  return {};
}

}  // namespace

Result<std::string> LocalStore::CreateMultipart(const std::string& bucket, const std::string& key, PutOptions options) {
  TRYV(ValidateKey(key));
  ChecksumRequest& checksum = options.checksum;
  if (!checksum.algorithm.empty()) TRYV(Checksum::Create(checksum.algorithm));
  if (checksum.algorithm == "CRC64NVME") checksum.full_object = true;
  if (checksum.full_object && !IsCrc(checksum.algorithm)) {
    return Fail(InvalidArgument(
        "The FULL_OBJECT checksum type cannot be used with the " + checksum.algorithm + " checksum algorithm.",
        "InvalidRequest"));
  }
  std::string id = RandomHex(24);
  TRYV(index_->Write([&](db::Transaction& tx) -> Result<void> {
    TRYV(RequireBucket(tx, bucket));
    TRYV(tx.Execute(
        "INSERT INTO uploads (id, bucket, key, created_ms, content_type, headers, metadata, "
        "checksum_algorithm, full_object) VALUES (?,?,?,?,?,?,?,?,?)",
        {id, bucket, key, clock_.NowMs(), options.content_type, db::Blob{EncodeFields(options.headers)},
         db::Blob{EncodeFields(options.metadata)}, checksum.algorithm, static_cast<int64_t>(checksum.full_object)}));
    return {};
  }));
  return id;
}

Result<std::unique_ptr<ObjectWriter>> LocalStore::PutPart(const std::string& bucket, const std::string& key,
                                                          const std::string& upload_id, int number,
                                                          ChecksumRequest checksum, std::string content_md5) {
  if (number < 1 || number > kMostParts) {
    return Fail(InvalidArgument("Part number must be an integer between 1 and 10000, inclusive.", "InvalidArgument"));
  }
  std::optional<Upload> upload;
  TRYV(index_->Read([&](db::Transaction& tx) -> Result<void> {
    TRY(upload, RequireUpload(tx, bucket, key, upload_id));
    return {};
  }));
  const std::string& agreed = upload->info.checksum_algorithm;
  if (!agreed.empty() && !checksum.algorithm.empty() && checksum.algorithm != agreed) {
    return Fail(InvalidArgument("Checksum Type mismatch occurred, expected checksum Type: " + ToLower(agreed) +
                                    ", actual checksum Type: " + ToLower(checksum.algorithm),
                                "InvalidRequest"));
  }
  // Without a checksum in this request the store still computes it: the whole object's needs every part's.
  if (checksum.algorithm.empty()) checksum.algorithm = agreed;
  TRY(Hasher hasher, Hasher::Create(std::move(checksum), std::move(content_md5)));
  ObjectInfo info;
  info.key = key;
  return std::make_unique<StagedWriter>(files_, std::move(hasher), std::move(info), kLargestPut,
                                        [this, bucket, key, upload_id, number](ObjectInfo info, Staging& staging) {
                                          return CommitPart(bucket, key, upload_id, number, std::move(info), staging);
                                        });
}

Result<ObjectInfo> LocalStore::CommitPart(const std::string& bucket, const std::string& key,
                                          const std::string& upload_id, int number, ObjectInfo info, Staging& staging) {
  TRYV(staging.Seal());
  TRYV(WriteAndDrop([&](db::Transaction& tx, Dropped& dropped) -> Result<void> {
    TRYV(RequireUpload(tx, bucket, key, upload_id));
    info.modified_ms = clock_.NowMs();
    TRY(auto former, tx.Query("SELECT content FROM parts WHERE upload = ? AND number = ?", {upload_id, number}));
    TRY(int64_t content, InsertContent(tx, staging));
    TRYV(tx.Execute(
        "INSERT OR REPLACE INTO parts (upload, number, content, size, etag, modified_ms, checksum) "
        "VALUES (?,?,?,?,?,?,?)",
        {upload_id, number, content, static_cast<int64_t>(info.size), info.etag, info.modified_ms, info.checksum}));
    if (!former.empty()) TRYV(RemoveReference(tx, former[0].Int(0), dropped));
    return {};
  }));
  staging.Keep();
  return info;
}

Result<ObjectInfo> LocalStore::CompleteMultipart(const std::string& bucket, const std::string& key,
                                                 const std::string& upload_id, std::vector<CompletedPart> parts,
                                                 CompleteOptions options) {
  Assembly assembly;
  std::vector<std::string> inline_parts;
  std::vector<io::UniqueFd> files;
  TRYV(index_->Read([&](db::Transaction& tx) -> Result<void> {
    TRY(assembly, LoadAssembly(tx, bucket, key, upload_id, parts, options));
    for (const StoredPart& part : assembly.parts) {
      TRY(std::string bytes, part.content.in_file ? Result<std::string>("") : ReadInline(tx, part.content.id));
      inline_parts.push_back(std::move(bytes));
    }
    return {};
  }));
  if (assembly.finished) return *assembly.finished;
  TRY(ObjectInfo info, WholeInfo(assembly, options));

  // One part is the object already; several are put together in a new content (in the kernel, without passing here).
  Staging staging(files_);
  bool single = assembly.parts.size() == 1;
  for (size_t i = 0; i < assembly.parts.size() && !single; ++i) {
    const StoredContent& content = assembly.parts[i].content;
    if (!content.in_file) {
      TRYV(staging.Append(inline_parts[i]));
      continue;
    }
    Result<io::UniqueFd> file = io::Open(files_.BlobPath(content.name), O_RDONLY);
    // Gone: the part was replaced or the upload ended meanwhile.
    if (!file && file.error().kind == ErrorKind::kNotFound) return Fail(InvalidPart(assembly.parts[i].info.number));
    if (!file) return Fail(std::move(file).error());
    TRYV(staging.AppendFile(file->get(), content.size));
  }
  if (!single) TRYV(staging.Seal());

  bool stored = false;
  TRYV(WriteAndDrop([&](db::Transaction& tx, Dropped& dropped) -> Result<void> {
    TRY(Assembly now, LoadAssembly(tx, bucket, key, upload_id, parts, options));
    if (now.finished) {
      info = *now.finished;
      return {};
    }
    if (!SameContents(assembly, now)) return Fail(InvalidPart(parts.front().number));
    info.modified_ms = clock_.NowMs();
    int64_t whole = assembly.parts[0].content.id;
    if (single) {
      TRYV(AddReference(tx, whole));
    } else {
      TRY(whole, InsertContent(tx, staging));
    }
    TRYV(ReplaceObject(tx, bucket, info, whole, upload_id, dropped));
    stored = true;
    return RemoveUpload(tx, upload_id, dropped);
  }));
  if (stored) staging.Keep();
  return info;
}

Result<void> LocalStore::AbortMultipart(const std::string& bucket, const std::string& key,
                                        const std::string& upload_id) {
  return WriteAndDrop([&](db::Transaction& tx, Dropped& dropped) -> Result<void> {
    TRYV(RequireUpload(tx, bucket, key, upload_id));
    return RemoveUpload(tx, upload_id, dropped);
  });
}

Result<std::vector<PartInfo>> LocalStore::ListParts(const std::string& bucket, const std::string& key,
                                                    const std::string& upload_id) {
  std::vector<PartInfo> result;
  TRYV(index_->Read([&](db::Transaction& tx) -> Result<void> {
    TRY(Upload upload, RequireUpload(tx, bucket, key, upload_id));
    TRY(std::vector<StoredPart> parts, LoadParts(tx, upload_id));
    for (StoredPart& part : parts) {
      part.info.checksum_algorithm = upload.info.checksum_algorithm;
      result.push_back(std::move(part.info));
    }
    return {};
  }));
  return result;
}

Result<std::vector<MultipartUpload>> LocalStore::ListMultipart(const std::string& bucket) {
  std::vector<MultipartUpload> uploads;
  TRYV(index_->Read([&](db::Transaction& tx) -> Result<void> {
    TRYV(RequireBucket(tx, bucket));
    return tx.ForEach(
        "SELECT key, id, created_ms, checksum_algorithm FROM uploads WHERE bucket = ? "
        "ORDER BY key, created_ms, id",
        {bucket}, [&uploads](const db::Row& row) {
          uploads.push_back({row.Text(0), row.Text(1), row.Int(2), row.Text(3)});
          return true;
        });
  }));
  return uploads;
}

}  // namespace sagebrush::objstore
