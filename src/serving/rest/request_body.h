#pragma once

#include "http/message.h"

namespace sagebrush::serving {

// The whole body of a request, at most `limit` bytes, with "Content-Encoding: gzip" undone; the limit holds for what
// came and for what it unpacks to, so that a small body cannot fill the memory. Errors: kResourceExhausted with the
// code kBodyTooLarge beyond the limit, for HTTP's 413; kInvalidArgument for damaged gzip, another encoding, or a body
// cut short.
http::asio::awaitable<Result<std::string>> ReadRequestBody(http::Request& request, size_t limit);

inline constexpr std::string_view kBodyTooLarge = "RequestEntityTooLarge";

// The HTTP status of an error of ReadRequestBody: 413 or 400.
int RequestBodyStatus(const Error& error);

}  // namespace sagebrush::serving
