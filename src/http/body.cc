#include "http/body.h"

#include <fmt/format.h>

#include <algorithm>

namespace sagebrush::http {
namespace {

constexpr size_t kReadStep = 64 * 1024;
constexpr size_t kLargestPiece = 1024 * 1024;
// A chunk's header line or the trailers must fit into this.
constexpr size_t kLargestFraming = 64 * 1024;

}  // namespace

MessageBody::MessageBody(Transport& transport, std::string& buffer, MessageParser parser, Millis stall, bool until_eof)
    : transport_(transport),
      buffer_(buffer),
      parser_(std::move(parser)),
      stall_(stall),
      chunked_(parser_.head().chunked),
      until_eof_(until_eof),
      length_(chunked_ ? std::nullopt : parser_.head().content_length),
      left_(length_.value_or(0)) {
  finished_ = !chunked_ && !until_eof_ && left_ == 0;
  if (!chunked_ && !until_eof_ && !length_) length_ = 0;
}

asio::awaitable<Result<std::string>> MessageBody::Read(size_t limit) {
  if (failed_) co_return Fail(InvalidArgument("the body was cut short"));
  if (finished_ && decoded_at_ == decoded_.size()) co_return std::string();
  Result<std::string> piece = co_await ReadPiece(std::clamp<size_t>(limit, 1, kLargestPiece));
  if (!piece) failed_ = true;
  co_return piece;
}

asio::awaitable<Result<std::string>> MessageBody::ReadPiece(size_t limit) {
  if (continue_owed_) {
    continue_owed_ = false;
    // Bytes that are here already show that the client did not wait (RFC 9110 10.1.1 lets us skip the answer then).
    if (buffer_.empty()) CO_TRYV(co_await transport_.Write("HTTP/1.1 100 Continue\r\n\r\n", {}, stall_));
  }
  if (chunked_) co_return co_await ReadChunked(limit);
  co_return co_await ReadPlain(limit);
}

asio::awaitable<Result<std::string>> MessageBody::ReadPlain(size_t limit) {
  if (!until_eof_) limit = std::min<uint64_t>(limit, left_);
  std::string piece;
  if (!buffer_.empty()) {
    piece = buffer_.substr(0, limit);
    buffer_.erase(0, piece.size());
  } else {
    piece.resize_and_overwrite(limit, [](char*, size_t size) { return size; });
    transport_.ExpireAfter(stall_);
    CO_TRY(size_t got, co_await transport_.ReadSome(piece.data(), piece.size()));
    if (got == 0 && !until_eof_) {
      co_return Fail(InvalidArgument("the body ended " + std::to_string(left_) + " bytes before its Content-Length",
                                     "IncompleteBody"));
    }
    piece.resize(got);
  }
  if (until_eof_) {
    finished_ = piece.empty();
  } else {
    left_ -= piece.size();
    finished_ = left_ == 0;
  }
  co_return piece;
}

asio::awaitable<Result<std::string>> MessageBody::ReadChunked(size_t limit) {
  while (decoded_at_ == decoded_.size() && !finished_) {
    auto used = parser_.Feed(buffer_);
    if (!used) co_return Fail(InvalidArgument(used.error().text));
    buffer_.erase(0, *used);
    decoded_ = parser_.TakeBody();
    decoded_at_ = 0;
    finished_ = parser_.body_done();
    if (!decoded_.empty() || finished_ || *used > 0) continue;
    if (buffer_.size() > kLargestFraming) co_return Fail(InvalidArgument("The chunked body is malformed."));
    CO_TRY(size_t got, co_await Fill());
    if (got == 0) co_return Fail(InvalidArgument("the chunked body ended before its last chunk", "IncompleteBody"));
  }
  std::string piece;
  if (decoded_at_ == 0 && decoded_.size() <= limit) {
    piece = std::exchange(decoded_, {});
  } else {
    piece = decoded_.substr(decoded_at_, limit);
    decoded_at_ += piece.size();
  }
  co_return piece;
}

asio::awaitable<Result<size_t>> MessageBody::Fill() {
  size_t before = buffer_.size();
  buffer_.resize_and_overwrite(before + kReadStep, [](char*, size_t size) { return size; });
  transport_.ExpireAfter(stall_);
  Result<size_t> got = co_await transport_.ReadSome(buffer_.data() + before, kReadStep);
  buffer_.resize(before + (got ? *got : 0));
  co_return got;
}

asio::awaitable<bool> MessageBody::Drain(uint64_t limit) {
  uint64_t dropped = 0;
  while (!finished_ && !failed_ && dropped <= limit) {
    Result<std::string> piece = co_await Read(kReadStep);
    if (!piece) co_return false;
    dropped += piece->size();
  }
  co_return finished_;
}

asio::awaitable<Result<void>> CopyBody(BodyReader& body, Transport& to, bool chunk, Millis stall) {
  while (true) {
    CO_TRY(std::string piece, co_await body.Read(kReadStep));
    if (piece.empty()) break;
    if (chunk) {
      std::string size = fmt::format("{:x}\r\n", piece.size());
      piece += "\r\n";
      CO_TRYV(co_await to.Write(size, piece, stall));
    } else {
      CO_TRYV(co_await to.Write(piece, {}, stall));
    }
  }
  if (chunk) CO_TRYV(co_await to.Write("0\r\n\r\n", {}, stall));
  co_return Result<void>{};
}

}  // namespace sagebrush::http
