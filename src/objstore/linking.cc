#include <sys/stat.h>

#include <cerrno>
#include <set>

#include "base/text.h"
#include "objstore/local_store.h"
#include "objstore/names.h"

namespace sagebrush::objstore {
namespace fs = std::filesystem;
namespace {

constexpr size_t kLongestName = 255;

// Where the key goes below the directory, by the rules of ObjectStore::LinkPrefix.
std::string_view RelativePath(std::string_view key, std::string_view prefix) {
  if (prefix.empty() || prefix.ends_with('/')) return key.substr(prefix.size());
  if (key.size() > prefix.size() && key[prefix.size()] == '/') return key.substr(prefix.size() + 1);
  size_t slash = prefix.rfind('/');
  return slash == prefix.npos ? key : key.substr(slash + 1);
}

Error BadPath(const std::string& key, std::string_view why) {
  return InvalidArgument("The object key '" + key + "' cannot become a file of an input channel: " + std::string(why) +
                             ". Rename the object or choose another prefix.",
                         "InvalidArgument");
}

// Makes the directories and knows those it made, so that each costs one mkdir.
class TreeMaker {
 public:
  TreeMaker(const BlobFiles& files, const fs::path& root) : files_(files), root_(root) {}

  // Checks every part of the path and makes its directories (with a trailing '/', all of it).
  Result<void> MakeParents(const std::string& key, std::string_view relative) {
    for (size_t begin = 0; begin < relative.size();) {
      size_t slash = relative.find('/', begin);
      std::string_view part = relative.substr(begin, slash == relative.npos ? slash : slash - begin);
      if (part.empty()) return Fail(BadPath(key, "it has an empty path part"));
      if (part == "." || part == "..") return Fail(BadPath(key, "it has the path part '" + std::string(part) + "'"));
      if (part.size() > kLongestName) return Fail(BadPath(key, "a path part is longer than 255 bytes"));
      if (slash == relative.npos) break;
      TRYV(MakeOne(key, relative.substr(0, slash)));
      begin = slash + 1;
    }
    return {};
  }

 private:
  Result<void> MakeOne(const std::string& key, std::string_view directory) {
    if (made_.contains(directory)) return {};
    fs::path path = root_ / directory;
    if (::mkdir(path.c_str(), 0755) != 0) {
      if (errno != EEXIST) return Fail(FromErrno(errno, "cannot make directory " + path.string()));
      struct stat status{};
      if (::lstat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) {
        return Fail(BadPath(key, "another object is the file '" + std::string(directory) + "'"));
      }
    } else {
      TRYV(files_.OwnDirectory(path));
    }
    made_.emplace(directory);
    return {};
  }

  const BlobFiles& files_;
  const fs::path& root_;
  std::set<std::string, std::less<>> made_;
};

struct LinkRow {
  std::string key;
  StoredContent content;
};

constexpr std::string_view kRows =
    "SELECT o.key, c.id, c.name, c.size, c.bytes IS NULL FROM objects o JOIN contents c ON c.id = o.content "
    "WHERE o.bucket = ? AND o.key >= ? ORDER BY o.key";

}  // namespace

Result<void> LocalStore::LinkContent(const StoredContent& content,
                                     const std::function<Result<std::string>()>& inline_bytes, const fs::path& path) {
  if (content.in_file) return files_.LinkOrCopy(files_.BlobPath(content.name), path);
  for (int attempt = 0;; ++attempt) {
    Result<void> linked = files_.LinkOrCopy(files_.CachePath(content.name), path);
    if (linked || linked.error().kind != ErrorKind::kNotFound || attempt == kReadAttempts) return linked;
    TRY(std::string bytes, inline_bytes());
    TRYV(files_.Cache(content.name, bytes));
  }
}

Result<void> LocalStore::LinkTo(const std::string& bucket, const std::string& key, const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path.parent_path(), error)) {
    return Fail(NotFound("The directory " + path.parent_path().string() + " does not exist."));
  }
  Result<void> linked;
  for (int attempt = 0; attempt < kReadAttempts; ++attempt) {
    std::optional<StoredObject> object;
    TRYV(index_->Read([&](db::Transaction& tx) -> Result<void> {
      TRY(object, RequireObject(tx, bucket, key));
      linked = LinkContent(object->content, [&] { return ReadInline(tx, object->content.id); }, path);
      return {};
    }));
    if (linked || linked.error().kind != ErrorKind::kNotFound) return linked;  // kNotFound: deleted meanwhile
  }
  return linked;
}

Result<LinkedPrefix> LocalStore::LinkPrefix(const std::string& bucket, const std::string& prefix,
                                            const fs::path& directory, Shard shard) {
  if (shard.count < 1 || shard.rank < 0 || shard.rank >= shard.count) {
    return Fail(InvalidArgument("A shard needs 0 <= rank < count."));
  }
  std::error_code error;
  if (!fs::is_directory(directory, error)) {
    return Fail(NotFound("The directory " + directory.string() + " does not exist."));
  }
  LinkedPrefix result;
  TreeMaker tree(files_, directory);
  std::vector<std::string> vanished;  // deleted since the snapshot that is read here began
  int64_t position = 0;
  auto link = [&](db::Transaction& tx, const LinkRow& row, std::string_view relative) -> Result<void> {
    TRYV(tree.MakeParents(row.key, relative));
    if (relative.empty() || relative.ends_with('/')) return {};
    if (position++ % shard.count != shard.rank) return {};
    Result<void> linked =
        LinkContent(row.content, [&] { return ReadInline(tx, row.content.id); }, directory / relative);
    if (!linked && linked.error().kind == ErrorKind::kAlreadyExists) {
      return Fail(BadPath(row.key, "another object already is '" + std::string(relative) + "' there"));
    }
    if (!linked && linked.error().kind == ErrorKind::kNotFound) {
      vanished.push_back(row.key);
      return {};
    }
    TRYV(std::move(linked));
    ++result.files;
    result.bytes += row.content.size;
    return {};
  };
  TRYV(index_->Read([&](db::Transaction& tx) -> Result<void> {
    TRYV(RequireBucket(tx, bucket));
    Result<void> outcome;
    TRYV(tx.ForEach(kRows, {bucket, prefix}, [&](const db::Row& columns) {
      LinkRow row{columns.Text(0),
                  {columns.Int(1), columns.Text(2), static_cast<uint64_t>(columns.Int(3)), columns.Int(4) != 0}};
      if (!row.key.starts_with(prefix)) return false;
      bool exact = row.key == prefix && !prefix.empty() && !prefix.ends_with('/');
      std::string_view relative =
          exact ? std::string_view(row.key).substr(row.key.rfind('/') + 1) : RelativePath(row.key, prefix);
      outcome = link(tx, row, relative);
      return outcome.has_value() && !exact;
    }));
    return outcome;
  }));
  for (const std::string& key : vanished) {
    fs::path path = directory / RelativePath(key, prefix);
    Result<void> linked = LinkTo(bucket, key, path);
    if (!linked && linked.error().code == "NoSuchKey") continue;
    TRYV(std::move(linked));
    ++result.files;
    result.bytes += fs::file_size(path);
  }
  return result;
}

}  // namespace sagebrush::objstore
