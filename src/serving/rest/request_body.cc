#include "serving/rest/request_body.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>

#include "base/check.h"
#include "base/text.h"

namespace sagebrush::serving {
namespace {

constexpr size_t kPieceBytes = 256 * 1024;

Error TooLarge(size_t limit) {
  return {ErrorKind::kResourceExhausted,
          fmt::format("The request body is larger than the {} bytes allowed here.", limit), std::string(kBodyTooLarge)};
}

Error BadGzip(std::string_view what) {
  return InvalidArgument(fmt::format("The request body is not valid gzip, as Content-Encoding says it is: {}.", what));
}

// A gzip stream of one or more members, unpacked as its bytes come.
class Gunzip {
 public:
  explicit Gunzip(size_t limit) : limit_(limit) {
    CHECK(inflateInit2(&stream_, 16 + MAX_WBITS) == Z_OK);  // 16: gzip alone
  }
  ~Gunzip() { inflateEnd(&stream_); }
  Gunzip(const Gunzip&) = delete;

  Result<void> Add(std::string& packed) {
    stream_.next_in = reinterpret_cast<Bytef*>(packed.data());
    stream_.avail_in = static_cast<uInt>(packed.size());
    do {
      if (member_ended_) {
        if (stream_.avail_in == 0) return {};
        inflateReset(&stream_);
        member_ended_ = false;
      }
      TRYV(Step());
    } while (stream_.avail_in > 0 || stream_.avail_out == 0);
    return {};
  }

  Result<std::string> Finish() && {
    if (!member_ended_) return Fail(BadGzip("it ends in the middle"));
    return std::move(plain_);
  }

 private:
  // Unpacks into at most one more piece; one byte beyond the limit is room enough to see that it is passed.
  Result<void> Step() {
    size_t before = plain_.size();
    size_t room = std::min(kPieceBytes, limit_ + 1 - before);
    plain_.resize(before + room);
    stream_.next_out = reinterpret_cast<Bytef*>(plain_.data() + before);
    stream_.avail_out = static_cast<uInt>(room);
    int code = inflate(&stream_, Z_NO_FLUSH);
    plain_.resize(before + room - stream_.avail_out);
    if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR) {
      return Fail(BadGzip(stream_.msg == nullptr ? "damaged data" : stream_.msg));
    }
    member_ended_ = code == Z_STREAM_END;
    if (plain_.size() > limit_) return Fail(TooLarge(limit_));
    return {};
  }

  size_t limit_;
  z_stream stream_{};
  bool member_ended_ = false;
  std::string plain_;
};

}  // namespace

int RequestBodyStatus(const Error& error) { return error.code == kBodyTooLarge ? 413 : 400; }

http::asio::awaitable<Result<std::string>> ReadRequestBody(http::Request& request, size_t limit) {
  std::string_view encoding = Trim(request.headers.Get("Content-Encoding"));
  bool gzip = EqualsIgnoreCase(encoding, "gzip") || EqualsIgnoreCase(encoding, "x-gzip");
  if (!gzip && !encoding.empty() && !EqualsIgnoreCase(encoding, "identity")) {
    co_return Fail(InvalidArgument(
        fmt::format("Content-Encoding '{}' is not supported: send the body as it is, or with gzip.", encoding)));
  }
  if (request.body->length() && *request.body->length() > limit) co_return Fail(TooLarge(limit));
  if (!gzip) {
    Result<std::string> body = co_await http::ReadAll(*request.body, limit);
    if (!body && body.error().kind == ErrorKind::kResourceExhausted) co_return Fail(TooLarge(limit));
    co_return body;
  }
  Gunzip gunzip(limit);
  size_t packed = 0;
  while (true) {
    CO_TRY(std::string piece, co_await request.body->Read(kPieceBytes));
    if (piece.empty()) co_return std::move(gunzip).Finish();
    packed += piece.size();
    if (packed > limit) co_return Fail(TooLarge(limit));
    CO_TRYV(gunzip.Add(piece));
  }
}

}  // namespace sagebrush::serving
