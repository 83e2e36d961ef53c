#pragma once

#include <string>
#include <string_view>

#include "http/message.h"
#include "http/transport.h"

namespace sagebrush::http {

std::string_view ReasonPhrase(int status);

// How a response travels, decided by the request it answers.
struct ResponseFraming {
  bool head_request = false;  // no body, whatever the response holds
  bool keep_alive = true;
  int minor_version = 1;  // of the request
  std::string_view request_id;
};

// Sends a response: head and small bodies in one write, FileBody by Transport::SendFile.
asio::awaitable<Result<void>> SendResponse(Transport& transport, io::Runtime& runtime, const Response& response,
                                           ResponseFraming framing, Millis stall);

// The bytes of a text response that ends its connection.
std::string PlainErrorResponse(int status, std::string_view text, std::string_view request_id);

// `value` without line breaks and other control characters, which would forge header fields.
std::string SafeFieldValue(std::string_view value);

}  // namespace sagebrush::http
