#include "objstore/names.h"

#include <algorithm>

#include "base/text.h"

namespace sagebrush::objstore {
namespace {

bool IsLowerOrDigit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

bool LooksLikeIpAddress(std::string_view name) {
  std::vector<std::string_view> parts = Split(name, '.');
  return parts.size() == 4 && std::ranges::all_of(parts, [](std::string_view part) {
           return !part.empty() && part.size() <= 3 && ParseInt(part).has_value();
         });
}

}  // namespace

Result<void> ValidateBucketName(std::string_view name) {
  auto refuse = [name](std::string_view why) {
    return Fail(InvalidArgument("The specified bucket is not valid: '" + ReplaceInvalidUtf8(name.substr(0, 100)) +
                                    "' " + std::string(why) + ".",
                                "InvalidBucketName"));
  };
  if (name.size() < 3 || name.size() > 63) return refuse("must have 3 to 63 characters");
  for (char c : name) {
    if (!IsLowerOrDigit(c) && c != '.' && c != '-') {
      return refuse("may hold only lower-case letters, digits, dots and hyphens");
    }
  }
  if (!IsLowerOrDigit(name.front()) || !IsLowerOrDigit(name.back())) {
    return refuse("must begin and end with a letter or digit");
  }
  if (name.find("..") != name.npos) return refuse("must not hold two dots in a row");
  if (LooksLikeIpAddress(name)) return refuse("must not look like an IP address");
  for (std::string_view prefix : {"xn--", "sthree-", "amzn-s3-demo-"}) {
    if (name.starts_with(prefix)) return refuse("must not begin with " + std::string(prefix));
  }
  for (std::string_view suffix : {"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"}) {
    if (name.ends_with(suffix)) return refuse("must not end with " + std::string(suffix));
  }
  return {};
}

Result<void> ValidateKey(std::string_view key) {
  if (key.empty()) return Fail(InvalidArgument("An object key must have at least one character.", "InvalidURI"));
  if (key.size() > 1024) {
    return Fail(InvalidArgument("Your key is too long: " + std::to_string(key.size()) + " bytes; the limit is 1024.",
                                "KeyTooLongError"));
  }
  if (key.find('\0') != key.npos || ReplaceInvalidUtf8(key) != key) {
    return Fail(InvalidArgument("An object key must be UTF-8 without NUL characters.", "InvalidURI"));
  }
  return {};
}

std::string PrefixEnd(std::string prefix) {
  while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == 0xFF) prefix.pop_back();
  if (!prefix.empty()) prefix.back() = static_cast<char>(static_cast<unsigned char>(prefix.back()) + 1);
  return prefix;
}

std::string_view BareEtag(std::string_view etag) {
  if (etag.starts_with("W/")) etag.remove_prefix(2);
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') etag = etag.substr(1, etag.size() - 2);
  return etag;
}

}  // namespace sagebrush::objstore
