#include "serving/rest/request_body.h"

#include <fmt/format.h>

#include "base/gzip.h"
#include "base/text.h"

namespace sagebrush::serving {
namespace {

constexpr size_t kPieceBytes = 256 * 1024;

Error TooLarge(size_t limit) {
  return {ErrorKind::kResourceExhausted,
          fmt::format("The request body is larger than the {} bytes allowed here.", limit), std::string(kBodyTooLarge)};
}

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
    Result<void> added = gunzip.Add(piece);
    if (!added && added.error().kind == ErrorKind::kResourceExhausted) co_return Fail(TooLarge(limit));
    CO_TRYV(added);
  }
}

}  // namespace sagebrush::serving
