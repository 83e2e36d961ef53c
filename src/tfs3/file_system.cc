#include "tfs3/file_system.h"

#include <functional>
#include <set>

namespace sagebrush::tfs3 {
namespace {

constexpr int kPage = 1'000;

Error Missing(const Location& location) { return NotFound(location.Uri() + " does not exist."); }
Error Precondition(const Location& location, std::string_view what) {
  return Error(ErrorKind::kFailedPrecondition, location.Uri() + " " + std::string(what));
}

Result<void> ForEachPage(S3Client& client, const std::string& bucket, const std::string& prefix, bool folded,
                         const std::function<Result<void>(const ListPage&)>& visit) {
  std::string token;
  do {
    TRY(ListPage page, client.List(bucket, prefix, folded, kPage, token));
    TRYV(visit(page));
    token = page.next;
  } while (!token.empty());
  return {};
}

}  // namespace

Result<bool> FileSystem::IsDirectory(const Location& location) {
  if (location.key.empty()) return client_.BucketExists(location.bucket);
  Result<ListPage> page = client_.List(location.bucket, location.Prefix(), false, 1, "");
  if (!page && page.error().kind == ErrorKind::kNotFound) return false;  // no such bucket
  if (!page) return Fail(std::move(page).error());
  return !page->objects.empty();
}

Result<FileStatus> FileSystem::Stat(std::string_view uri) {
  TRY(Location location, ParseLocation(uri));
  if (!location.key.empty() && !location.directory) {
    TRY(std::optional<ObjectInfo> info, client_.Head(location));
    if (info) return FileStatus{info->size, info->modified_ns, false};
  }
  TRY(bool directory, IsDirectory(location));
  if (!directory) return Fail(Missing(location));
  return FileStatus{0, 0, true};
}

Result<void> FileSystem::MakeDirectory(std::string_view uri, bool may_exist) {
  TRY(Location location, ParseLocation(uri));
  Result<FileStatus> status = Stat(uri);
  if (status && !status->directory) {
    return may_exist ? Fail(Precondition(location, "is a file, so no directory can be made there."))
                     : Result<void>(Fail(Error(ErrorKind::kAlreadyExists, location.Uri() + " exists already.")));
  }
  if (status) {
    if (may_exist) return {};
    return Fail(Error(ErrorKind::kAlreadyExists, location.Uri() + " exists already."));
  }
  if (status.error().kind != ErrorKind::kNotFound) return Fail(std::move(status).error());
  if (location.key.empty()) {
    return Fail(NotFound("The bucket " + location.bucket + " does not exist: make it before the job runs."));
  }
  location.key += "/";
  return client_.Put(location, "");
}

Result<void> FileSystem::DeleteFile(std::string_view uri) {
  TRY(Location location, ParseFile(uri));
  TRY(std::optional<ObjectInfo> info, client_.Head(location));
  if (info) return client_.Delete(location.bucket, location.key);
  TRY(bool directory, IsDirectory(location));
  return directory ? Fail(Precondition(location, "is a directory.")) : Fail(Missing(location));
}

Result<void> FileSystem::DeleteDirectory(std::string_view uri) {
  TRY(Location location, ParseLocation(uri));
  if (location.key.empty()) return Fail(Precondition(location, "is a bucket, which TensorFlow can't delete."));
  TRY(ListPage page, client_.List(location.bucket, location.Prefix(), false, 2, ""));
  if (page.objects.empty()) {
    TRY(std::optional<ObjectInfo> info, client_.Head(location));
    return info ? Fail(Precondition(location, "is a file.")) : Fail(Missing(location));
  }
  if (page.objects.size() > 1 || page.objects[0].first != location.Prefix()) {
    return Fail(Precondition(location, "is not empty."));
  }
  return client_.Delete(location.bucket, location.Prefix());
}

Result<void> FileSystem::DeleteTree(std::string_view uri, uint64_t& remaining) {
  remaining = 0;
  TRY(Location location, ParseLocation(uri));
  bool found = false;
  if (!location.key.empty() && !location.directory) {
    TRY(std::optional<ObjectInfo> info, client_.Head(location));
    found = info.has_value();
    if (info) TRYV(client_.Delete(location.bucket, location.key));
  }
  std::string reason;
  TRYV(ForEachPage(client_, location.bucket, location.Prefix(), false, [&](const ListPage& page) -> Result<void> {
    std::vector<std::string> keys;
    for (const auto& [key, size] : page.objects) keys.push_back(key);
    found = found || !keys.empty();
    TRY(uint64_t failed, client_.DeleteMany(location.bucket, keys, reason));
    remaining += failed;
    return {};
  }));
  if (remaining > 0) return Fail(Error(ErrorKind::kPermissionDenied, reason));
  return found || location.key.empty() ? Result<void>() : Fail(Missing(location));
}

Result<void> FileSystem::RenameDirectory(const Location& from, const Location& to) {
  if (from.key.empty() || to.key.empty()) return Fail(Precondition(from, "can't be renamed: a bucket keeps its name."));
  if (from.bucket == to.bucket && to.Prefix().starts_with(from.Prefix())) {
    return Fail(Precondition(from, "can't be renamed into itself."));
  }
  std::vector<std::string> keys;
  TRYV(ForEachPage(client_, from.bucket, from.Prefix(), false, [&](const ListPage& page) -> Result<void> {
    for (const auto& [key, size] : page.objects) {
      Location target{to.bucket, to.Prefix() + key.substr(from.Prefix().size())};
      TRYV(client_.Copy({from.bucket, key}, size, target));
      keys.push_back(key);
    }
    return {};
  }));
  if (keys.empty()) return Fail(Missing(from));
  for (size_t first = 0; first < keys.size(); first += kPage) {
    auto begin = keys.begin() + static_cast<std::ptrdiff_t>(first);
    auto end = keys.size() - first > kPage ? begin + kPage : keys.end();
    std::string reason;
    TRY(uint64_t failed, client_.DeleteMany(from.bucket, {begin, end}, reason));
    if (failed > 0) return Fail(Error(ErrorKind::kPermissionDenied, reason));
  }
  return {};
}

Result<void> FileSystem::Rename(std::string_view from, std::string_view to) {
  TRY(Location source, ParseLocation(from));
  TRY(Location target, ParseLocation(to));
  if (source.key.empty() || source.directory) return RenameDirectory(source, target);
  TRY(std::optional<ObjectInfo> info, client_.Head(source));
  if (!info) return RenameDirectory(source, target);
  TRY(target, ParseFile(to));
  if (source.bucket == target.bucket && source.key == target.key) return {};
  TRYV(client_.Copy(source, info->size, target));
  return client_.Delete(source.bucket, source.key);
}

Result<void> FileSystem::Copy(std::string_view from, std::string_view to) {
  TRY(Location source, ParseFile(from));
  TRY(Location target, ParseFile(to));
  TRY(std::optional<ObjectInfo> info, client_.Head(source));
  if (!info) {
    TRY(bool directory, IsDirectory(source));
    return directory ? Fail(Precondition(source, "is a directory.")) : Fail(Missing(source));
  }
  if (source.bucket == target.bucket && source.key == target.key) return {};
  return client_.Copy(source, info->size, target);
}

Result<std::vector<std::string>> FileSystem::Children(std::string_view uri) {
  TRY(Location location, ParseLocation(uri));
  const std::string prefix = location.Prefix();
  std::set<std::string> names;
  bool exists = location.key.empty();
  TRYV(ForEachPage(client_, location.bucket, prefix, true, [&](const ListPage& page) -> Result<void> {
    exists = exists || !page.objects.empty() || !page.prefixes.empty();
    for (const auto& [key, size] : page.objects) names.insert(key.substr(prefix.size()));
    for (const std::string& common : page.prefixes) {
      names.insert(common.substr(prefix.size(), common.size() - prefix.size() - 1));
    }
    return {};
  }));
  names.erase("");  // the directory's own marker
  if (exists) return std::vector<std::string>(names.begin(), names.end());
  TRY(std::optional<ObjectInfo> info, client_.Head(location));
  return info ? Fail(Precondition(location, "is a file, not a directory.")) : Fail(Missing(location));
}

Result<std::vector<std::string>> FileSystem::Matching(std::string_view glob) {
  std::string pattern = CleanUri(glob);
  if (pattern.ends_with('/')) pattern.pop_back();
  std::string literal(LiteralPrefix(pattern));
  if (literal.size() == pattern.size()) {
    Result<FileStatus> status = Stat(pattern);
    if (!status && status.error().kind == ErrorKind::kNotFound) return std::vector<std::string>();
    if (!status) return Fail(std::move(status).error());
    return std::vector<std::string>{pattern};
  }
  // A key prefix, not a path: nothing of it may be cleaned away.
  std::string_view rest = std::string_view(literal).substr(std::min<size_t>(literal.size(), 5));
  size_t slash = rest.find('/');
  if (!literal.starts_with("s3://") || slash == std::string_view::npos || slash == 0) {
    return Fail(Error(ErrorKind::kFailedPrecondition,
                      "The pattern \"" + pattern + "\" must begin with s3://bucket/, with no wildcard in the bucket."));
  }
  const std::string bucket(rest.substr(0, slash)), prefix(rest.substr(slash + 1)), root = "s3://" + bucket + "/";
  const bool one_level = pattern.find('/', literal.size()) == std::string::npos;
  std::set<std::string> found;
  auto consider = [&](const std::string& key) {
    if (!key.empty() && GlobMatches(pattern, root + key)) found.insert(root + key);
  };
  Result<void> listed = ForEachPage(client_, bucket, prefix, one_level, [&](const ListPage& page) -> Result<void> {
    for (const std::string& common : page.prefixes) consider(common.substr(0, common.size() - 1));
    for (const auto& [key, size] : page.objects) {
      if (!key.ends_with('/')) consider(key);
      // The directories on the way, below what the pattern fixes.
      for (size_t at = key.find('/', prefix.size()); at != std::string::npos; at = key.find('/', at + 1)) {
        consider(key.substr(0, at));
      }
    }
    return {};
  });
  if (!listed && listed.error().kind != ErrorKind::kNotFound) return Fail(std::move(listed).error());
  return std::vector<std::string>(found.begin(), found.end());
}

}  // namespace sagebrush::tfs3
