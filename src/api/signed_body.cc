#include "api/signed_body.h"

#include "base/check.h"
#include "base/text.h"

namespace sagebrush::api {
namespace {

namespace asio = http::asio;

constexpr size_t kDropped = 64 * 1024;  // at a time, by Finish

}  // namespace

SignedBody::SignedBody(http::BodyReader& body, uint64_t length, wire::PendingSignature signature,
                       std::string_view declared)
    : body_(body), length_(length), signature_(std::move(signature)), declared_(declared) {
  CHECK(length_ > 0);  // else no piece would be the last one
}

Result<void> SignedBody::CheckHead() {
  if (declared_.empty()) return {};
  TRYV(signature_.Verify(declared_));
  return {};
}

asio::awaitable<Result<std::string>> SignedBody::Read(size_t limit) {
  if (error_) co_return Fail(*error_);
  if (read_ == length_) co_return std::string();
  Result<std::string> piece = co_await body_.Read(limit);
  if (piece) {
    read_ += piece->size();
    digest_.Update(*piece);
    if (read_ < length_) co_return piece;
    if (Result<void> right = CheckDigest(); !right) piece = Fail(std::move(right).error());
  }
  if (!piece) error_ = piece.error();
  co_return piece;
}

Result<void> SignedBody::CheckDigest() {
  TRYV(signature_.Verify(HexEncode(digest_.Finish())));
  return {};
}

asio::awaitable<Result<void>> SignedBody::Finish() {
  while (true) {
    CO_TRY(std::string piece, co_await Read(kDropped));
    if (piece.empty()) co_return Result<void>{};
  }
}

}  // namespace sagebrush::api
