#include "tfs3/location.h"

#include <fnmatch.h>

#include <vector>

#include "base/text.h"

namespace sagebrush::tfs3 {
namespace {

constexpr std::string_view kScheme = "s3://";

}  // namespace

std::string CleanUri(std::string_view uri) {
  if (!uri.starts_with(kScheme)) return std::string(uri);
  std::string_view rest = uri.substr(kScheme.size());
  size_t slash = rest.find('/');
  std::string clean(uri.substr(0, slash == std::string_view::npos ? uri.size() : kScheme.size() + slash));
  if (slash == std::string_view::npos) return clean;
  std::vector<std::string_view> kept;
  for (std::string_view segment : Split(rest.substr(slash + 1), '/')) {
    if (segment.empty() || segment == ".") continue;
    if (segment == "..") {
      if (!kept.empty()) kept.pop_back();
    } else {
      kept.push_back(segment);
    }
  }
  for (std::string_view segment : kept) clean.append("/").append(segment);
  if (rest.ends_with('/')) clean += "/";
  return clean;
}

Result<Location> ParseLocation(std::string_view uri) {
  std::string clean = CleanUri(uri);
  std::string_view rest = clean;
  if (!rest.starts_with(kScheme)) {
    return Fail(Error(ErrorKind::kFailedPrecondition, "\"" + clean + "\" is no s3:// URI."));
  }
  rest.remove_prefix(kScheme.size());
  size_t slash = rest.find('/');
  Location location;
  location.bucket = rest.substr(0, slash);
  if (location.bucket.empty()) {
    return Fail(Error(ErrorKind::kFailedPrecondition, "\"" + clean + "\" names no bucket: write s3://bucket/key."));
  }
  if (slash == std::string_view::npos) return location;
  location.directory = rest.ends_with('/');
  std::string_view key = rest.substr(slash + 1);
  if (key.ends_with('/')) key.remove_suffix(1);
  location.key = key;
  return location;
}

Result<Location> ParseFile(std::string_view uri) {
  TRY(Location location, ParseLocation(uri));
  if (location.key.empty() || location.directory) {
    return Fail(Error(ErrorKind::kFailedPrecondition, "\"" + std::string(uri) + "\" names a directory, not a file."));
  }
  return location;
}

std::string_view LiteralPrefix(std::string_view glob) { return glob.substr(0, glob.find_first_of("*?[\\")); }

bool GlobMatches(const std::string& glob, const std::string& path) {
  return ::fnmatch(glob.c_str(), path.c_str(), FNM_PATHNAME) == 0;
}

}  // namespace sagebrush::tfs3
