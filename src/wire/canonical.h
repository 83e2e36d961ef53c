#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wire/sigv4.h"

// The canonical form of a request, shared by signing and verifying (RFC-like description in the AWS General
// Reference, "Create a signed AWS API request"; details as botocore.auth does them).
namespace sagebrush::wire {

// The value of the only header or query parameter of that name (case matters for a query); nullptr when it is absent.
const std::string* FindHeader(const SignableRequest& request, std::string_view name);
const std::string* FindQuery(const SignableRequest& request, std::string_view name);
bool IsAmzHeader(std::string_view name);  // x-amz-…, any case

// All values of a header (lower-case name), each trimmed and its runs of white space made one space, joined by commas.
std::string CanonicalHeaderValue(const SignableRequest& request, std::string_view lower_name);

// The text whose hash is signed. `signed_headers` are lower-case and sorted; the parameter X-Amz-Signature is left
// out. For S3 the path enters as sent, otherwise without dot segments and empty ones, and encoded once more.
std::string CanonicalRequest(const SignableRequest& request, const std::vector<std::string>& signed_headers,
                             std::string_view payload_hash, bool is_s3);

struct CredentialScope {
  std::string access_key;
  std::string date;  // YYYYMMDD
  std::string region;
  std::string service;
  std::string Text() const;  // date/region/service/aws4_request
};

// Hex signature of a canonical request.
std::string SignatureV4(std::string_view canonical_request, std::string_view secret, std::string_view timestamp,
                        const CredentialScope& scope);

// "20260131T123456Z" as milliseconds since the epoch.
std::optional<int64_t> ParseIso8601Basic(std::string_view text);

}  // namespace sagebrush::wire
