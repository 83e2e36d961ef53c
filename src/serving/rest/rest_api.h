#pragma once

#include <chrono>
#include <string>

#include "http/message.h"
#include "serving/rest/rest_inference.h"

namespace sagebrush::serving {

struct RestApiOptions {
  std::chrono::milliseconds timeout{30'000};      // of an inference, from the end of its body to the reply: then 504
  size_t body_limit = size_t{256} * 1024 * 1024;  // bytes, unpacked: then 413
  bool cors = false;                              // lets pages of any origin read the replies
};

// TensorFlow Serving's REST interface:
//   POST    /v1/models/NAME[/versions/N|/labels/L]:(predict|classify|regress)
//   GET     /v1/models/NAME[/versions/N|/labels/L]           the states of its versions
//   GET     /v1/models/NAME[/versions/N|/labels/L]/metadata  its signatures
//   OPTIONS /v1/…                                            what browsers ask before a request from another origin
// Anything else under /v1/ gets 400, the rest 404. Replies are JSON, errors {"error": "…"}. Thread-safe.
class RestApi {
 public:
  // `service` outlives this.
  RestApi(ModelService& service, RestApiOptions options) : service_(service), options_(options) {}

  // On the strand of the request's connection.
  http::asio::awaitable<http::Response> Handle(http::Request& request) const;

 private:
  struct Route;
  static Result<Route> RouteOf(const http::Request& request);
  http::asio::awaitable<RestReply> Dispatch(http::Request& request) const;
  http::asio::awaitable<RestReply> Infer(http::Request& request, Route route) const;
  RestReply Describe(const Route& route) const;

  ModelService& service_;
  RestApiOptions options_;
};

// A reply as HTTP sends it: application/json, and for 503 a Retry-After.
http::Response HttpResponseOf(RestReply reply);

}  // namespace sagebrush::serving
