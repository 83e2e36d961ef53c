#include "objstore/local_store.h"
#include "objstore/names.h"

namespace sagebrush::objstore {
namespace {

constexpr std::string_view kFrom =
    "SELECT key, size, etag, modified_ms, checksum_algorithm FROM objects "
    "WHERE bucket = ? AND key >= ? ORDER BY key";

// Gathers one page. A common prefix is skipped over by starting the scan again behind it, so a page costs its entries,
// however many keys lie below its common prefixes.
class Lister {
 public:
  Lister(db::Transaction& tx, const std::string& bucket, const ListRequest& request)
      : tx_(tx), bucket_(bucket), request_(request) {}

  Result<ListResult> Run() {
    if (request_.max_keys == 0) return std::move(result_);
    std::string from = FirstKey();
    while (true) {
      bool skip = false;
      Result<void> scanned = tx_.ForEach(kFrom, {bucket_, from}, [&](const db::Row& row) {
        if (!row.Text(0).starts_with(request_.prefix)) return false;
        if (result_.objects.size() + result_.common_prefixes.size() == request_.max_keys) {
          result_.truncated = true;
          return false;
        }
        std::string group = CommonPrefix(row.Text(0));
        if (group.empty()) {
          AddObject(row);
          return true;
        }
        from = PrefixEnd(group);
        skip = true;
        result_.next = group;
        result_.common_prefixes.push_back(std::move(group));
        return false;
      });
      TRYV(std::move(scanned));
      // from is "" when no key can lie behind the group (it is all 0xFF bytes).
      if (!skip || from.empty()) break;
    }
    if (!result_.truncated) result_.next.clear();
    return std::move(result_);
  }

 private:
  // The first key that may be listed: behind the marker, and behind the whole group when the marker is a common prefix.
  std::string FirstKey() const {
    const std::string& marker = request_.start_after;
    if (marker.empty() || marker < request_.prefix) return request_.prefix;
    if (marker.starts_with(request_.prefix) && CommonPrefix(marker) == marker && !marker.empty()) {
      return PrefixEnd(marker);
    }
    return marker + '\0';
  }

  // The part of a key up to and with the first delimiter after the prefix; "" when there is none.
  std::string CommonPrefix(const std::string& key) const {
    if (request_.delimiter.empty()) return {};
    size_t at = key.find(request_.delimiter, request_.prefix.size());
    return at == key.npos ? std::string() : key.substr(0, at + request_.delimiter.size());
  }

  void AddObject(const db::Row& row) {
    ObjectInfo info;
    info.key = row.Text(0);
    info.size = static_cast<uint64_t>(row.Int(1));
    info.etag = row.Text(2);
    info.modified_ms = row.Int(3);
    info.checksum_algorithm = row.Text(4);
    result_.next = info.key;
    result_.objects.push_back(std::move(info));
  }

  db::Transaction& tx_;
  const std::string& bucket_;
  const ListRequest& request_;
  ListResult result_;
};

}  // namespace

Result<ListResult> LocalStore::List(const std::string& bucket, const ListRequest& request) {
  ListResult result;
  TRYV(index_->Read([&](db::Transaction& tx) -> Result<void> {
    TRYV(RequireBucket(tx, bucket));
    TRY(result, Lister(tx, bucket, request).Run());
    return {};
  }));
  return result;
}

}  // namespace sagebrush::objstore
