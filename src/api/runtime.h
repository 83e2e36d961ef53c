#pragma once

#include <string>

#include "api/call_context.h"
#include "http/message.h"
#include "routing/invoker.h"

namespace sagebrush::api {

// SageMaker's runtime: POST /endpoints/NAME/invocations. The body goes to the container as it is, and its answer comes
// back as it is; errors are JSON {"Message": …} with the header x-amzn-ErrorType: ValidationError for what is wrong
// with the request, ModelError (424) for what the container answered other than 2xx, or not at all, and
// ServiceUnavailable while no instance can take a request.
class RuntimeApi {
 public:
  struct Options {
    Installation installation;
    size_t body_limit = size_t{6} * 1024 * 1024;  // as the hosted service
  };
  RuntimeApi(routing::Invoker& invoker, Options options) : invoker_(invoker), options_(std::move(options)) {}

  // Whether the request is for this service: by its path, and for paths that a bucket might have, by its signature.
  static bool Owns(const http::Request& request);
  size_t body_limit() const { return options_.body_limit; }
  // The body is all there, or (a reader, of known length) still to come. The request's signature is verified, or the
  // reader does that before its end: then the response may be answered only when the signature was right.
  http::asio::awaitable<http::Response> Handle(const http::Request& request,
                                               std::variant<std::string, http::BodyReader*> body) const;

  static http::Response Refuse(int status, std::string_view type, std::string_view message);

 private:
  http::asio::awaitable<http::Response> Invoke(routing::Invocation invocation) const;
  http::Response ErrorReply(const std::string& endpoint, const Error& error) const;
  http::asio::awaitable<http::Response> ModelError(const std::string& endpoint, routing::InvocationReply reply) const;
  http::Response ModelErrorOf(const std::string& endpoint, int status, const std::string& message,
                              const std::string& stream) const;

  routing::Invoker& invoker_;
  const Options options_;
};

}  // namespace sagebrush::api
