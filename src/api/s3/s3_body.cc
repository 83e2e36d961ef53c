#include "api/s3/s3_body.h"

#include <algorithm>
#include <cctype>

#include "base/text.h"
#include "objstore/checksum.h"

namespace sagebrush::api::s3 {
namespace {

constexpr size_t kPiece = 1 << 20;

bool IsSha256(std::string_view text) {
  return text.size() == 64 && std::ranges::all_of(text, [](unsigned char c) { return std::isxdigit(c) != 0; });
}

bool SaysAwsChunked(std::string_view encoding) {
  return std::ranges::any_of(Split(encoding, ','),
                             [](std::string_view part) { return EqualsIgnoreCase(Trim(part), "aws-chunked"); });
}

}  // namespace

Result<UploadBody> UploadBody::Create(const Call& call) {
  TRY(UploadBody body, CreateWithoutChecksum(call));
  TRY(body.checksum_, ParseChecksum(call));
  return body;
}

Result<UploadBody> UploadBody::CreateWithoutChecksum(const Call& call) {
  UploadBody body(call);
  std::string_view payload = call.context.caller.payload_hash;
  if (payload.empty()) payload = call.Header("x-amz-content-sha256");
  bool streaming = payload.starts_with("STREAMING-");
  if (streaming && payload != "STREAMING-UNSIGNED-PAYLOAD-TRAILER") {
    return Fail(Error(ErrorKind::kUnsupported,
                      "x-amz-content-sha256: " + std::string(payload.substr(0, 64)) +
                          " is not implemented; send STREAMING-UNSIGNED-PAYLOAD-TRAILER or a SHA-256 digest.",
                      "NotImplemented"));
  }
  if (streaming || SaysAwsChunked(call.Header("Content-Encoding"))) {
    body.chunked_.emplace();
    if (const std::string* length = call.request.headers.Find("x-amz-decoded-content-length")) {
      std::optional<int64_t> value = ParseInt(*length);
      if (!value) {
        return Fail(InvalidArgument("The x-amz-decoded-content-length header is not a number.", "InvalidArgument"));
      }
      body.decoded_length_ = static_cast<uint64_t>(*value);
    }
  } else if (call.request.headers.Has("x-amz-trailer")) {
    return Fail(InvalidArgument("x-amz-trailer needs an aws-chunked body.", "InvalidRequest"));
  }
  if (IsSha256(payload)) {
    body.declared_sha256_ = ToLower(payload);
    body.sha256_.emplace(DigestAlgorithm::kSha256);
  }
  return body;
}

Result<void> UploadBody::Take(std::string_view piece, const Sink& sink) {
  if (sha256_) sha256_->Update(piece);
  if (!chunked_) return sink(piece);
  std::string data;
  TRYV(chunked_->Decode(piece, data));
  return data.empty() ? Result<void>() : sink(data);
}

Result<void> UploadBody::Finish() {
  if (chunked_) {
    TRYV(chunked_->Finish());
    if (decoded_length_ && *decoded_length_ != chunked_->decoded_bytes()) {
      return Fail(
          InvalidArgument("You did not provide the number of bytes specified by the "
                          "x-amz-decoded-content-length HTTP header.",
                          "IncompleteBody"));
    }
    TRYV(TakeTrailer());
  }
  if (sha256_ && HexEncode(sha256_->Finish()) != declared_sha256_) {
    return Fail(InvalidArgument("The provided 'x-amz-content-sha256' header does not match what was computed.",
                                "XAmzContentSHA256Mismatch"));
  }
  return {};
}

Result<void> UploadBody::TakeTrailer() {
  if (checksum_.algorithm.empty() || !checksum_.expected.empty()) return {};
  auto found = chunked_->trailers().find(ChecksumHeader(checksum_.algorithm));
  if (found == chunked_->trailers().end()) {
    return Fail(InvalidArgument(
        "The body has no trailer " + ChecksumHeader(checksum_.algorithm) + ", which x-amz-trailer announced.",
        "MalformedTrailerError"));
  }
  if (!objstore::IsWellFormedChecksum(checksum_.algorithm, found->second)) {
    return Fail(InvalidArgument("Value for " + found->first + " trailing header is invalid.", "InvalidRequest"));
  }
  checksum_.expected = found->second;
  return {};
}

http::asio::awaitable<Result<void>> UploadBody::Pump(io::Runtime& runtime, Sink sink) {
  while (true) {
    CO_TRY(std::string piece, co_await call_->request.body->Read(kPiece));
    if (piece.empty()) break;
    auto take = [this, &piece, &sink] { return Take(piece, sink); };
    CO_TRYV(co_await io::OnBlockingPool(runtime, take));
  }
  co_return Finish();
}

http::asio::awaitable<Result<void>> UploadBody::CopyTo(io::Runtime& runtime, objstore::ObjectWriter& writer) {
  Sink sink = [&writer](std::string_view data) { return writer.Append(data); };
  bool in_trailer = !checksum_.algorithm.empty() && checksum_.expected.empty();
  CO_TRYV(co_await Pump(runtime, std::move(sink)));
  if (in_trailer) writer.SetExpectedChecksum(checksum_.algorithm, checksum_.expected);
  co_return Result<void>();
}

http::asio::awaitable<Result<std::string>> UploadBody::ReadWhole(io::Runtime& runtime, size_t limit) {
  std::string whole;
  Sink sink = [&whole, limit](std::string_view data) -> Result<void> {
    if (whole.size() + data.size() > limit) {
      return Fail(InvalidArgument("Your request was too big: the limit here is " + std::to_string(limit) + " bytes.",
                                  "MaxMessageLengthExceeded"));
    }
    whole += data;
    return {};
  };
  CO_TRYV(co_await Pump(runtime, std::move(sink)));
  std::string_view md5 = call_->Header("Content-MD5");
  if (!md5.empty() && Base64Encode(Md5(whole)) != md5) {
    co_return Fail(InvalidArgument("The Content-MD5 you specified did not match what we received.", "BadDigest"));
  }
  if (!checksum_.expected.empty()) {
    CO_TRY(objstore::Checksum checksum, objstore::Checksum::Create(checksum_.algorithm));
    checksum.Update(whole);
    if (Base64Encode(checksum.Finish()) != checksum_.expected) {
      co_return Fail(InvalidArgument("The " + checksum_.algorithm + " you specified did not match what we received.",
                                     "BadDigest"));
    }
  }
  co_return whole;
}

}  // namespace sagebrush::api::s3
