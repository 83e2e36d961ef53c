#include "wire/sigv4.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"
#include "wire/canonical.h"
#include "wire/sigv2.h"

namespace sagebrush::wire {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";
constexpr std::string_view kUnsignedPayload = "UNSIGNED-PAYLOAD";
constexpr std::string_view kUnsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
constexpr int64_t kMaxSkewMs = int64_t{15} * 60 * 1000;
constexpr int64_t kMaxPresignedFutureMs = int64_t{5} * 60 * 1000;
constexpr int64_t kMaxPresignedSeconds = int64_t{7} * 24 * 3600;

// Headers that clients do not sign because what is between may change them.
constexpr std::array<std::string_view, 15> kUnsignedHeaders = {"authorization",
                                                               "baggage",
                                                               "connection",
                                                               "expect",
                                                               "keep-alive",
                                                               "proxy-authenticate",
                                                               "te",
                                                               "proxy-authorization",
                                                               "traceparent",
                                                               "tracestate",
                                                               "trailer",
                                                               "transfer-encoding",
                                                               "upgrade",
                                                               "user-agent",
                                                               "x-amzn-trace-id"};

// What a request states about its signature, from the header or the query.
struct Claim {
  CredentialScope scope;
  std::vector<std::string> signed_headers;  // lower case, in the order given
  std::string signature;
  std::string timestamp;
  std::string token;
  int64_t signed_at_ms = 0;
  std::optional<int64_t> expires_seconds;  // presigned only
};

Fail Unauthenticated(std::string message, std::string code) {
  return Fail(Error(ErrorKind::kUnauthenticated, std::move(message), std::move(code)));
}
Fail Denied(std::string message, std::string code) {
  return Fail(Error(ErrorKind::kPermissionDenied, std::move(message), std::move(code)));
}
Fail Incomplete(std::string message) { return Unauthenticated(std::move(message), "IncompleteSignature"); }

Result<CredentialScope> ParseScope(std::string_view credential) {
  std::vector<std::string_view> parts = Split(credential, '/');
  if (parts.size() != 5 || parts[4] != "aws4_request") {
    return Incomplete(
        "The credential of the signature must have the form <access key>/<date>/<region>/<service>/aws4_request.");
  }
  if (parts[0].empty() || parts[1].size() != 8 || !ParseInt(parts[1])) {
    return Incomplete("The credential of the signature must hold an access key and a date in the form YYYYMMDD.");
  }
  return CredentialScope{std::string(parts[0]), std::string(parts[1]), std::string(parts[2]), std::string(parts[3])};
}

Result<std::vector<std::string>> ParseSignedHeaders(std::string_view text) {
  std::vector<std::string> names;
  for (std::string_view name : Split(text, ';')) names.emplace_back(name);
  for (const std::string& name : names) {
    if (name.empty() || name != ToLower(name)) {
      return Incomplete("SignedHeaders must be a list of lower-case header names separated by semicolons.");
    }
  }
  if (std::ranges::find(names, "host") == names.end()) {
    return Incomplete("'Host' must be a signed header of the request.");
  }
  return names;
}

Result<void> SetTime(Claim& claim, const std::string* timestamp) {
  std::optional<int64_t> at = timestamp == nullptr ? std::nullopt : ParseIso8601Basic(*timestamp);
  if (!at) return Incomplete("The request needs a valid X-Amz-Date in the form YYYYMMDD'T'HHMMSS'Z'.");
  claim.timestamp = *timestamp;
  claim.signed_at_ms = *at;
  if (!claim.timestamp.starts_with(claim.scope.date)) {
    return Incomplete("The date in the credential of the signature is not the date of X-Amz-Date.");
  }
  return {};
}

// Authorization: AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…
Result<Claim> ParseAuthorization(const SignableRequest& request, std::string_view header) {
  if (!header.starts_with(kAlgorithm)) {
    return Unauthenticated(
        "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
        "IncompleteSignature");
  }
  std::string_view credential, signed_headers, signature;
  for (std::string_view part : Split(header.substr(kAlgorithm.size()), ',')) {
    part = Trim(part);
    size_t equals = part.find('=');
    std::string_view name = part.substr(0, equals);
    std::string_view value = equals == std::string_view::npos ? "" : part.substr(equals + 1);
    if (name == "Credential") credential = value;
    if (name == "SignedHeaders") signed_headers = value;
    if (name == "Signature") signature = value;
  }
  if (credential.empty() || signed_headers.empty() || signature.empty()) {
    return Incomplete("The Authorization header requires the parameters Credential, SignedHeaders and Signature.");
  }
  Claim claim;
  TRY(claim.scope, ParseScope(credential));
  TRY(claim.signed_headers, ParseSignedHeaders(signed_headers));
  claim.signature = signature;
  TRYV(SetTime(claim, FindHeader(request, "x-amz-date")));
  if (const std::string* token = FindHeader(request, "x-amz-security-token")) claim.token = *token;
  return claim;
}

Result<Claim> ParsePresigned(const SignableRequest& request) {
  const std::string* algorithm = FindQuery(request, "X-Amz-Algorithm");
  const std::string* credential = FindQuery(request, "X-Amz-Credential");
  const std::string* signed_headers = FindQuery(request, "X-Amz-SignedHeaders");
  const std::string* signature = FindQuery(request, "X-Amz-Signature");
  const std::string* expires = FindQuery(request, "X-Amz-Expires");
  if (algorithm == nullptr || credential == nullptr || signed_headers == nullptr || signature == nullptr ||
      expires == nullptr || *algorithm != kAlgorithm) {
    return Incomplete(
        "A presigned request requires the parameters X-Amz-Algorithm (AWS4-HMAC-SHA256), X-Amz-Credential, "
        "X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders and X-Amz-Expires.");
  }
  Claim claim;
  TRY(claim.scope, ParseScope(*credential));
  TRY(claim.signed_headers, ParseSignedHeaders(*signed_headers));
  claim.signature = *signature;
  TRYV(SetTime(claim, FindQuery(request, "X-Amz-Date")));
  claim.expires_seconds = ParseInt(*expires);
  if (!claim.expires_seconds || *claim.expires_seconds < 1 || *claim.expires_seconds > kMaxPresignedSeconds) {
    return Incomplete("X-Amz-Expires must be between 1 and 604800 seconds.");
  }
  if (const std::string* token = FindQuery(request, "X-Amz-Security-Token")) claim.token = *token;
  return claim;
}

bool IsPresigned(const SignableRequest& request) {
  return FindQuery(request, "X-Amz-Signature") != nullptr || FindQuery(request, "X-Amz-Algorithm") != nullptr;
}

Result<void> CheckTime(const Claim& claim, bool is_s3, int64_t now_ms) {
  if (claim.expires_seconds) {
    if (claim.signed_at_ms > now_ms + kMaxPresignedFutureMs) {
      return Denied("Request is not valid yet.", "AccessDenied");
    }
    if (now_ms > claim.signed_at_ms + *claim.expires_seconds * 1000) {
      return Denied("Request has expired.", "AccessDenied");
    }
    return {};
  }
  int64_t skew = now_ms - claim.signed_at_ms;
  if (skew >= -kMaxSkewMs && skew <= kMaxSkewMs) return {};
  if (is_s3) {
    return Denied("The difference between the request time and the current time is too large.", "RequestTimeTooSkewed");
  }
  std::string now = FormatIso8601Basic(now_ms);
  return Denied(
      skew > 0 ? fmt::format("Signature expired: {} is now more than 15 minutes earlier than {}.", claim.timestamp, now)
               : fmt::format("Signature not yet current: {} is still more than 15 minutes later than {}.",
                             claim.timestamp, now),
      "InvalidSignatureException");
}

// Every x-amz- header has a meaning to some service, so none may be added on the way.
Result<void> CheckSignedHeaders(const SignableRequest& request, const Claim& claim) {
  for (const auto& [name, value] : request.headers) {
    std::string lower = ToLower(name);
    bool is_signed = std::ranges::find(claim.signed_headers, lower) != claim.signed_headers.end();
    if (!is_signed && IsAmzHeader(lower) && lower != "x-amz-content-sha256") {
      return Denied(fmt::format("There were headers present in the request which were not signed: {}.", lower),
                    "AccessDenied");
    }
  }
  return {};
}

Result<std::string> SignedPayloadHash(std::string_view payload_hash, bool presigned, bool is_s3) {
  if (!is_s3) return std::string(payload_hash);
  if (payload_hash.empty() && presigned) return std::string(kUnsignedPayload);
  if (payload_hash.empty()) {
    return Fail(InvalidArgument("Missing required header for this request: x-amz-content-sha256.", "InvalidRequest"));
  }
  bool is_digest = payload_hash.size() == 64 && HexDecode(payload_hash).has_value();
  if (is_digest || payload_hash == kUnsignedPayload || payload_hash == kUnsignedTrailer) {
    return std::string(payload_hash);
  }
  if (payload_hash.starts_with("STREAMING-")) {
    return Fail(Error(ErrorKind::kUnsupported,
                      fmt::format("A body of the kind {} is not supported; send its SHA-256, UNSIGNED-PAYLOAD or "
                                  "STREAMING-UNSIGNED-PAYLOAD-TRAILER in x-amz-content-sha256.",
                                  payload_hash),
                      "NotImplemented"));
  }
  return Fail(InvalidArgument(
      "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER or a valid sha256 value.",
      "InvalidArgument"));
}

// A claim that only lacks the hash of the body.
struct HeadChecked {
  Claim claim;
  Credentials credentials;
};
Result<HeadChecked> CheckHead(const SignableRequest& request, Claim claim, bool is_s3, const SecretLookup& lookup,
                              int64_t now_ms) {
  std::optional<Credentials> credentials = lookup(claim.scope.access_key);
  if (!credentials) {
    if (is_s3) {
      return Denied("The AWS Access Key Id you provided does not exist in our records.", "InvalidAccessKeyId");
    }
    return Denied("The security token included in the request is invalid.", "UnrecognizedClientException");
  }
  TRYV(CheckTime(claim, is_s3, now_ms));
  TRYV(CheckSignedHeaders(request, claim));
  return HeadChecked{std::move(claim), *std::move(credentials)};
}

Result<VerifiedCaller> CheckSignature(const SignableRequest& request, const HeadChecked& head,
                                      std::string_view payload_hash, bool is_s3) {
  const Claim& claim = head.claim;
  TRY(std::string hash, SignedPayloadHash(payload_hash, claim.expires_seconds.has_value(), is_s3));
  std::string canonical = CanonicalRequest(request, claim.signed_headers, hash, is_s3);
  std::string expected = SignatureV4(canonical, head.credentials.secret, claim.timestamp, claim.scope);
  if (!ConstantTimeEquals(expected, claim.signature)) {
    return Denied(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
        "Key and signing method.",
        is_s3 ? "SignatureDoesNotMatch" : "InvalidSignatureException");
  }
  if (!ConstantTimeEquals(head.credentials.session_token, claim.token)) {
    return Denied("The security token included in the request is invalid.",
                  is_s3 ? "InvalidToken" : "UnrecognizedClientException");
  }
  return VerifiedCaller{.access_key = claim.scope.access_key,
                        .region = claim.scope.region,
                        .service = claim.scope.service,
                        .payload_hash = std::move(hash)};
}

// The claim of a request that is signed by version 4, in its Authorization header or its query.
Result<Claim> ParseClaim(const SignableRequest& request, bool is_s3) {
  if (const std::string* authorization = FindHeader(request, "authorization")) {
    return ParseAuthorization(request, *authorization);
  }
  if (IsPresigned(request)) return ParsePresigned(request);
  if (is_s3) return Denied("Access Denied: the request carries no signature.", "AccessDenied");
  return Unauthenticated("The request is missing an authentication token: sign it with an access key.",
                         "MissingAuthenticationToken");
}

Result<void> CheckOneMechanism(const SignableRequest& request, bool old_query, bool is_s3) {
  bool authorization = FindHeader(request, "authorization") != nullptr;
  if (authorization + IsPresigned(request) + old_query <= 1) return {};
  return Fail(InvalidArgument(
      "Only one authentication mechanism is allowed: the Authorization header or a presigned query, not both.",
      is_s3 ? "InvalidArgument" : "IncompleteSignature"));
}

}  // namespace

std::string_view DeclaredPayloadHash(const SignableRequest& request) {
  const std::string* value = FindHeader(request, "x-amz-content-sha256");
  return value == nullptr ? std::string_view() : Trim(*value);
}

Result<VerifiedCaller> VerifySignature(const SignableRequest& request, std::string_view payload_hash, bool is_s3,
                                       const SecretLookup& lookup, int64_t now_ms) {
  bool old_query =
      is_s3 && FindQuery(request, "AWSAccessKeyId") != nullptr && FindQuery(request, "Signature") != nullptr;
  TRYV(CheckOneMechanism(request, old_query, is_s3));
  if (old_query) return VerifyOldPresignedQuery(request, lookup, now_ms);
  TRY(Claim claim, ParseClaim(request, is_s3));
  TRY(HeadChecked head, CheckHead(request, std::move(claim), is_s3, lookup, now_ms));
  return CheckSignature(request, head, payload_hash, is_s3);
}

struct PendingSignature::State {
  SignableRequest request;
  HeadChecked head;
};

PendingSignature::PendingSignature(std::unique_ptr<State> state) : state_(std::move(state)) {}
PendingSignature::PendingSignature(PendingSignature&&) noexcept = default;
PendingSignature::~PendingSignature() = default;

Result<PendingSignature> PendingSignature::Begin(const SignableRequest& request, const SecretLookup& lookup,
                                                 int64_t now_ms) {
  TRYV(CheckOneMechanism(request, false, false));
  TRY(Claim claim, ParseClaim(request, false));
  TRY(HeadChecked head, CheckHead(request, std::move(claim), false, lookup, now_ms));
  return PendingSignature(std::make_unique<State>(State{request, std::move(head)}));
}

Result<VerifiedCaller> PendingSignature::Verify(std::string_view payload_hash) const {
  return CheckSignature(state_->request, state_->head, payload_hash, false);
}

void Sign(SignableRequest& request, const Credentials& credentials, std::string_view region, std::string_view service,
          std::string_view payload_hash, int64_t now_ms) {
  CHECK(FindHeader(request, "host") != nullptr);
  std::erase_if(request.headers, [](const auto& header) {
    return EqualsIgnoreCase(header.first, "authorization") || EqualsIgnoreCase(header.first, "x-amz-date") ||
           EqualsIgnoreCase(header.first, "x-amz-content-sha256") ||
           EqualsIgnoreCase(header.first, "x-amz-security-token");
  });
  std::string timestamp = FormatIso8601Basic(now_ms);
  request.headers.emplace_back("X-Amz-Date", timestamp);
  request.headers.emplace_back("X-Amz-Content-Sha256", std::string(payload_hash));
  if (!credentials.session_token.empty()) {
    request.headers.emplace_back("X-Amz-Security-Token", credentials.session_token);
  }
  std::vector<std::string> names;
  for (const auto& [name, value] : request.headers) {
    std::string lower = ToLower(name);
    if (std::ranges::find(kUnsignedHeaders, lower) == kUnsignedHeaders.end()) names.push_back(std::move(lower));
  }
  std::ranges::sort(names);
  names.erase(std::ranges::unique(names).begin(), names.end());
  CredentialScope scope{credentials.access_key, timestamp.substr(0, 8), std::string(region), std::string(service)};
  std::string signature = SignatureV4(CanonicalRequest(request, names, payload_hash, service == "s3"),
                                      credentials.secret, timestamp, scope);
  request.headers.emplace_back(
      "Authorization", fmt::format("{} Credential={}/{}, SignedHeaders={}, Signature={}", kAlgorithm, scope.access_key,
                                   scope.Text(), fmt::join(names, ";"), signature));
}

}  // namespace sagebrush::wire
