#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "io/file.h"

namespace sagebrush::http {

namespace asio = boost::asio;

// Header fields in order of arrival; names compare without case.
class Headers {
 public:
  void Add(std::string name, std::string value) { fields_.emplace_back(std::move(name), std::move(value)); }
  void Set(std::string_view name, std::string value);  // replaces every field of that name
  // The first value of that name, or nullptr.
  const std::string* Find(std::string_view name) const;
  std::string_view Get(std::string_view name) const;  // "" when absent
  bool Has(std::string_view name) const { return Find(name) != nullptr; }
  auto begin() const { return fields_.begin(); }
  auto end() const { return fields_.end(); }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

// The body of a request, read piece by piece as the handler asks. The server has already undone HTTP chunking and
// answers "Expect: 100-continue" at the first Read. A body that the handler leaves unread is drained or, when it is
// large, the connection is closed after the response.
class BodyReader {
 public:
  virtual ~BodyReader() = default;
  // The next bytes, at most `limit`; empty at the end. kInvalidArgument for broken framing or a body cut short.
  virtual asio::awaitable<Result<std::string>> Read(size_t limit) = 0;
  // Content-Length, when the client stated it.
  virtual std::optional<uint64_t> length() const = 0;
};

// Reads a whole body of at most `limit` bytes; kResourceExhausted beyond.
asio::awaitable<Result<std::string>> ReadAll(BodyReader& body, size_t limit);

struct Request {
  std::string method;
  std::string target;                                      // as sent: raw path and query
  std::string path;                                        // raw path, still percent-encoded
  std::vector<std::pair<std::string, std::string>> query;  // decoded, in order
  Headers headers;
  std::string host;  // lower case, without port
  bool tls = false;
  bool local = false;          // came over the engine's Unix socket
  std::string request_id;      // made by the server; goes out as x-amzn-RequestId
  BodyReader* body = nullptr;  // never null; owned by the server, valid while the handler runs
  // Whether the client has closed its side, so that nobody waits for an answer. Cheap; from any thread, and also after
  // the handler has ended.
  std::function<bool()> peer_gone;

  const std::string* QueryValue(std::string_view name) const;  // nullptr when absent
  bool HasQuery(std::string_view name) const { return QueryValue(name) != nullptr; }
};

// A part of an open file, sent with sendfile where the connection is plain.
struct FileBody {
  io::UniqueFd file;
  uint64_t offset = 0;
  uint64_t length = 0;
};

// A body that comes from elsewhere while it is sent. One that fails on the way ends the connection: the client sees
// that it is cut short.
struct StreamBody {
  std::shared_ptr<BodyReader> reader;  // its length() becomes Content-Length; without one the body is sent in chunks
};

struct Response {
  int status = 200;
  Headers headers;
  std::variant<std::string, FileBody, StreamBody> body;
  // Sent as Content-Length for a HEAD request, whose body stays empty.
  std::optional<uint64_t> head_length;
};

using Handler = std::function<asio::awaitable<Response>(Request&)>;

}  // namespace sagebrush::http
