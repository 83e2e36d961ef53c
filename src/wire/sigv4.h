#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace sagebrush::wire {

struct Credentials {
  std::string access_key;
  std::string secret;
  std::string session_token;  // "" for long-term keys
};

// The parts of a request that a signature covers.
struct SignableRequest {
  std::string method;
  std::string path;                                          // raw, as sent (percent-encoded)
  std::vector<std::pair<std::string, std::string>> query;    // decoded
  std::vector<std::pair<std::string, std::string>> headers;  // as sent, including Host
};

struct VerifiedCaller {
  std::string access_key;
  std::string region;   // of the credential scope; "" for the old query signature
  std::string service;  // "s3", "sagemaker", "logs", …
  // What the signature says of the body: 64 hex digits, UNSIGNED-PAYLOAD or STREAMING-UNSIGNED-PAYLOAD-TRAILER. The
  // caller still has to compare a digest with the body it reads.
  std::string payload_hash;
};

using SecretLookup = std::function<std::optional<Credentials>(std::string_view access_key)>;

// The hash that the client declared for its body in x-amz-content-sha256; "" when there is no such header.
std::string_view DeclaredPayloadHash(const SignableRequest& request);

// Verifies a SigV4 Authorization header, a SigV4 presigned query, or S3's old presigned query (AWSAccessKeyId,
// Signature, Expires). `payload_hash` is what enters the canonical request: the declared hash for S3, the hash of
// the body otherwise. Errors are kUnauthenticated or kPermissionDenied with AWS codes: MissingAuthenticationToken,
// IncompleteSignature, InvalidAccessKeyId (S3) / UnrecognizedClientException, SignatureDoesNotMatch,
// RequestTimeTooSkewed (S3) / InvalidSignatureException, ExpiredToken, AccessDenied ("Request has expired").
// Messages never hold a secret.
Result<VerifiedCaller> VerifySignature(const SignableRequest& request, std::string_view payload_hash, bool is_s3,
                                       const SecretLookup& lookup, int64_t now_ms);

// The signature of a request whose body is still to come: whatever its head alone can tell has been checked.
class PendingSignature {
 public:
  // As VerifySignature for a service other than S3, but for the body's hash; the same errors.
  static Result<PendingSignature> Begin(const SignableRequest& request, const SecretLookup& lookup, int64_t now_ms);
  PendingSignature(PendingSignature&&) noexcept;
  ~PendingSignature();

  // Whether the signature is right for a body of this hash (64 hex digits). May be called more than once.
  Result<VerifiedCaller> Verify(std::string_view payload_hash) const;

 private:
  struct State;
  explicit PendingSignature(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;  // never null but after a move
};

// Adds X-Amz-Date, X-Amz-Content-Sha256 (always), X-Amz-Security-Token and Authorization to request.headers.
void Sign(SignableRequest& request, const Credentials& credentials, std::string_view region, std::string_view service,
          std::string_view payload_hash, int64_t now_ms);

}  // namespace sagebrush::wire
