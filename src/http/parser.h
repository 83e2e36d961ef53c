#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "http/message.h"

namespace sagebrush::http {

// Start line and header fields of a request or a response.
struct MessageHead {
  std::string method, target;  // requests
  int status = 0;              // responses
  std::string reason;
  int minor_version = 1;  // of HTTP/1.x
  Headers headers;
  bool keep_alive = false;  // as asked by the peer
  bool chunked = false;
  std::optional<uint64_t> content_length;
};

// The HTTP status and sentence that a malformed message deserves. Status 0: no answer, the peer is gone.
struct HttpFailure {
  int status = 400;
  std::string text;
};

// An incremental HTTP/1.x parser (Beast's, kept in one translation unit). It reads the head and undoes chunked
// framing; bodies framed by Content-Length or by the end of the connection it leaves to its caller, who can read them
// without a copy. Not thread-safe.
class MessageParser {
 public:
  enum class Kind { kRequest, kResponse };
  MessageParser(Kind kind, size_t header_limit);
  ~MessageParser();
  MessageParser(MessageParser&&) noexcept;
  MessageParser& operator=(MessageParser&&) noexcept;

  // Parses a prefix of `data` and returns its length; the rest must be offered again with more behind it. A return of
  // 0 means that more input is needed. Never goes past the head in the call that completes it.
  std::expected<size_t, HttpFailure> Feed(std::string_view data);

  bool head_done() const;
  // Whether a body of a chunked message has ended; only meaningful after head_done().
  bool body_done() const;
  MessageHead& head();
  // What chunked bytes decoded to since the last call.
  std::string TakeBody();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sagebrush::http
