#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/hash.h"
#include "http/message.h"
#include "wire/sigv4.h"

namespace sagebrush::api {

// A body of stated length that is passed on while it comes, although the request's signature covers it: its last piece
// is held back until the digest of the whole has been found to be the one that was signed. So nobody who reads it ever
// has a complete body that is not its signer's. Used on the request's executor; `body` and this live as long as the
// handler runs.
class SignedBody final : public http::BodyReader {
 public:
  // `declared`: what the client said its digest is (x-amz-content-sha256), if anything.
  SignedBody(http::BodyReader& body, uint64_t length, wire::PendingSignature signature, std::string_view declared);

  // Checks what can be known before the body is read: with a declared digest, the signature itself.
  Result<void> CheckHead();

  // As BodyReader; also the errors of VerifySignature, in place of the last piece. After an error, only that error.
  http::asio::awaitable<Result<std::string>> Read(size_t limit) override;
  std::optional<uint64_t> length() const override { return length_; }

  // Reads and drops what is left; the error that Read gave or would give.
  http::asio::awaitable<Result<void>> Finish();

 private:
  Result<void> CheckDigest();

  http::BodyReader& body_;
  const uint64_t length_;
  const wire::PendingSignature signature_;
  const std::string declared_;
  uint64_t read_ = 0;
  Digest digest_{DigestAlgorithm::kSha256};
  std::optional<Error> error_;
};

}  // namespace sagebrush::api
