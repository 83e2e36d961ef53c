#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "http/client_stream.h"
#include "http/message.h"

namespace sagebrush::http {

struct ClientOptions {
  std::chrono::milliseconds connect_deadline{5'000};
  std::chrono::milliseconds deadline{60'000};  // a whole call
  size_t response_limit = 64 * 1024 * 1024;    // bytes of a response body
  std::string server = "the engine";           // for messages
};

struct ClientRequest {
  std::string method = "GET";
  std::string target = "/";  // raw path and query
  Headers headers;           // Host, Content-Length and Connection are added when absent
  std::string body;
};

// The request's head as it goes over the wire; `default_host` where it states none.
std::string FormatHead(const ClientRequest& request, std::string_view default_host);

struct ClientResponse {
  int status = 0;
  Headers headers;
  std::string body;
};

// A small blocking HTTP/1.1 client for the command line and tools: to one server, over TCP, TLS or a Unix socket, one
// call at a time on one connection that is kept for the next call. A kept connection that turns out to be
// closed is opened anew once, before any byte of an answer was seen. Not thread-safe.
class Client {
 public:
  static Client ForTcp(std::string host, uint16_t port, ClientOptions options = {});
  static Client ForTls(std::string host, uint16_t port, std::shared_ptr<const TlsTrust> trust,
                       ClientOptions options = {});
  static Client ForUnix(std::filesystem::path socket, ClientOptions options = {});
  // On a connection that somebody else has made; it is not opened anew.
  static Client OnSocket(io::UniqueFd connected, ClientOptions options = {});

  // kUnavailable when nothing listens (for the engine the message says how to start it), kDeadlineExceeded,
  // kFailedPrecondition when TLS cannot be agreed on, kResourceExhausted for a response over the limit. HTTP error
  // statuses are no errors here.
  Result<ClientResponse> Call(const ClientRequest& request);

  const std::string& where() const { return where_; }

 private:
  Client(std::string host, uint16_t port, std::filesystem::path socket, std::shared_ptr<const TlsTrust> trust,
         ClientOptions options);
  Result<void> Connect(int64_t deadline_ms);
  Result<bool> Take(class MessageParser& parser, std::string& buffer, bool head_request, bool ended,
                    ClientResponse& response) const;
  Result<bool> Move(ClientStream& stream, std::string_view& unsent, std::string& buffer, int64_t deadline_ms) const;
  Error Broken(std::string_view reason) const;
  Error NotRunning(const std::string& why) const;
  Result<io::UniqueFd> ConnectTcp(int64_t deadline_ms) const;
  Result<io::UniqueFd> ConnectUnix(int64_t deadline_ms) const;
  Result<ClientResponse> Exchange(const std::string& bytes, bool head_request, int64_t deadline_ms, bool& answered);

  std::string host_;
  uint16_t port_ = 0;
  std::filesystem::path socket_path_;
  ClientOptions options_;
  std::string where_;                      // for messages
  std::shared_ptr<const TlsTrust> trust_;  // null without TLS
  ClientStream stream_;
  bool adopted_ = false;  // the connection is somebody else's making
};

}  // namespace sagebrush::http
