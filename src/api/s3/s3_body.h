#pragma once

#include <functional>
#include <optional>
#include <string>

#include "api/s3/s3_request.h"
#include "base/hash.h"
#include "io/runtime.h"
#include "wire/aws_chunked.h"

namespace sagebrush::api::s3 {

// The body of an S3 request on its way in: aws-chunked undone, compared with the digest that the signature covers and
// with the stated length. One per request; never holds more than one piece of it.
class UploadBody {
 public:
  // NotImplemented for signed chunks (no client of the specification sends them).
  static Result<UploadBody> Create(const Call& call);
  // For operations whose checksum headers do not speak of the body.
  static Result<UploadBody> CreateWithoutChecksum(const Call& call);

  // What the store has to compute and verify; an expected value may still come in the trailer.
  const objstore::ChecksumRequest& checksum() const { return checksum_; }
  // Streams the body into the writer; the caller commits.
  http::asio::awaitable<Result<void>> CopyTo(io::Runtime& runtime, objstore::ObjectWriter& writer);
  // The whole body of at most `limit` bytes, its Content-MD5 and checksum verified.
  http::asio::awaitable<Result<std::string>> ReadWhole(io::Runtime& runtime, size_t limit);

 private:
  using Sink = std::function<Result<void>(std::string_view)>;
  explicit UploadBody(const Call& call) : call_(&call) {}

  http::asio::awaitable<Result<void>> Pump(io::Runtime& runtime, Sink sink);
  Result<void> Take(std::string_view piece, const Sink& sink);
  Result<void> Finish();
  Result<void> TakeTrailer();

  const Call* call_;
  std::string declared_sha256_;  // lower-case hex; "" when the payload is unsigned
  std::optional<Digest> sha256_;
  std::optional<wire::AwsChunkedDecoder> chunked_;
  std::optional<uint64_t> decoded_length_;
  objstore::ChecksumRequest checksum_;
};

}  // namespace sagebrush::api::s3
