#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace sagebrush::tfs3 {

// What an s3:// URI names. A key never begins or ends with a slash.
struct Location {
  std::string bucket;
  std::string key;         // "" for the bucket itself
  bool directory = false;  // the URI ended in a slash: it can only mean a directory

  std::string Uri() const { return "s3://" + bucket + (key.empty() ? "" : "/" + key); }
  // What the keys of everything below begin with.
  std::string Prefix() const { return key.empty() ? "" : key + "/"; }
};

// s3://bucket//a/./b/../c/ → s3://bucket/a/c/. Paths that a script joins by hand mean what they mean on a disk; keys
// with empty, "." or ".." segments, which no file system has, can't be named. Other schemes are returned as they are.
std::string CleanUri(std::string_view uri);

// kFailedPrecondition when there is no bucket in it.
Result<Location> ParseLocation(std::string_view uri);
// The same for a file: a key is needed, and no slash at its end.
Result<Location> ParseFile(std::string_view uri);

// The part of a glob before its first special character.
std::string_view LiteralPrefix(std::string_view glob);
// As the plug-in interface defines a glob: * and ? don't match a slash, [^…] excludes, \ quotes.
bool GlobMatches(const std::string& glob, const std::string& path);

}  // namespace sagebrush::tfs3
