#include "wire/sigv2.h"

#include <algorithm>
#include <array>
#include <map>

#include "base/hash.h"
#include "base/text.h"
#include "wire/canonical.h"

namespace sagebrush::wire {
namespace {

// The parameters that are part of the resource; all others are not signed.
constexpr std::array<std::string_view, 35> kSubResources = {
    "accelerate",
    "acl",
    "analytics",
    "cors",
    "defaultObjectAcl",
    "delete",
    "inventory",
    "lifecycle",
    "location",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "partNumber",
    "policy",
    "replication",
    "requestPayment",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "restore",
    "select",
    "select-type",
    "storageClass",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "website",
};

// A header, or the query parameter that stands for it in a presigned URL.
std::string HeaderOrQuery(const SignableRequest& request, std::string_view lower_name) {
  if (FindHeader(request, lower_name) != nullptr) return std::string(Trim(CanonicalHeaderValue(request, lower_name)));
  const std::string* value = FindQuery(request, lower_name);
  return value == nullptr ? "" : std::string(Trim(*value));
}

std::string AmzHeaders(const SignableRequest& request) {
  std::map<std::string, std::string> sorted;
  auto add = [&](std::string_view name, std::string_view value) {
    if (!IsAmzHeader(name)) return;
    auto [entry, is_new] = sorted.emplace(ToLower(name), Trim(value));
    if (!is_new) entry->second.append(",").append(Trim(value));
  };
  for (const auto& [name, value] : request.headers) add(name, value);
  for (const auto& [name, value] : request.query) {
    if (FindHeader(request, name) == nullptr) add(name, value);  // a presigned URL may state what the client repeats
  }
  std::string out;
  for (const auto& [name, value] : sorted) out.append(name).append(":").append(value).append("\n");
  return out;
}

// "/bucket/key" also where the bucket is in the host name (bucket.s3.region.amazonaws.com).
std::string Resource(const SignableRequest& request) {
  std::string out;
  if (const std::string* host = FindHeader(request, "host")) {
    size_t at = std::min(host->find(".s3."), host->find(".s3-"));
    if (at != std::string::npos) out.append("/").append(host->substr(0, at));
  }
  out += request.path.empty() ? "/" : request.path;
  std::vector<std::pair<std::string, std::string>> kept;
  for (const auto& [name, value] : request.query) {
    if (std::ranges::find(kSubResources, name) != kSubResources.end()) kept.emplace_back(name, value);
  }
  std::ranges::sort(kept);
  char separator = '?';
  for (const auto& [name, value] : kept) {
    out.append(1, std::exchange(separator, '&')).append(name);
    if (!value.empty()) out.append("=").append(value);
  }
  return out;
}

Fail Denied(std::string message, std::string code = "AccessDenied") {
  return Fail(Error(ErrorKind::kPermissionDenied, std::move(message), std::move(code)));
}

}  // namespace

std::string OldStringToSign(const SignableRequest& request, std::string_view expires) {
  std::string text = request.method;
  text.append("\n").append(HeaderOrQuery(request, "content-md5"));
  text.append("\n").append(HeaderOrQuery(request, "content-type"));
  text.append("\n").append(expires);
  text.append("\n").append(AmzHeaders(request)).append(Resource(request));
  return text;
}

Result<VerifiedCaller> VerifyOldPresignedQuery(const SignableRequest& request, const SecretLookup& lookup,
                                               int64_t now_ms) {
  const std::string* access_key = FindQuery(request, "AWSAccessKeyId");
  const std::string* signature = FindQuery(request, "Signature");
  const std::string* expires = FindQuery(request, "Expires");
  if (access_key == nullptr || signature == nullptr || expires == nullptr) {
    return Denied("Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters.");
  }
  std::optional<int64_t> expiry = ParseInt(*expires);
  if (!expiry) return Denied("Invalid date (should be seconds since epoch): the parameter Expires is not a number.");
  if (*expiry < now_ms / 1000) return Denied("Request has expired.");
  std::optional<Credentials> credentials = lookup(*access_key);
  if (!credentials) {
    return Denied("The AWS Access Key Id you provided does not exist in our records.", "InvalidAccessKeyId");
  }
  std::string expected = Base64Encode(HmacSha1(credentials->secret, OldStringToSign(request, *expires)));
  if (!ConstantTimeEquals(expected, *signature)) {
    return Denied(
        "The request signature we calculated does not match the signature you provided. Check your key and signing "
        "method.",
        "SignatureDoesNotMatch");
  }
  if (!credentials->session_token.empty() &&
      !ConstantTimeEquals(credentials->session_token, HeaderOrQuery(request, "x-amz-security-token"))) {
    return Denied("The provided token is malformed or otherwise invalid.", "InvalidToken");
  }
  return VerifiedCaller{.access_key = *access_key, .region = "", .service = "s3", .payload_hash = "UNSIGNED-PAYLOAD"};
}

}  // namespace sagebrush::wire
