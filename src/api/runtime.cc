#include "api/runtime.h"

#include <boost/json.hpp>

#include "base/text.h"
#include "control/endpoint_reconciler.h"

namespace sagebrush::api {
namespace {

namespace asio = http::asio;
namespace json = boost::json;

constexpr std::string_view kPrefix = "/endpoints/";
constexpr std::string_view kHeaderPrefix = "X-Amzn-SageMaker-";
constexpr std::string_view kTargetVariant = "X-Amzn-SageMaker-Target-Variant";
constexpr std::string_view kCustomAttributes = "X-Amzn-SageMaker-Custom-Attributes";
// What asks for something that this installation does not have.
constexpr std::pair<std::string_view, std::string_view> kRefused[] = {
    {"X-Amzn-SageMaker-Target-Model", "TargetModel is for multi-model endpoints, which Sagebrush does not have yet"},
    {"X-Amzn-SageMaker-Target-Container-Hostname", "TargetContainerHostname is for endpoints of several containers"},
    {"X-Amzn-SageMaker-Enable-Explanations", "EnableExplanations is for endpoints with an explainer"},
    {"X-Amzn-SageMaker-Inference-Component", "InferenceComponentName is for endpoints with inference components"},
    {"X-Amzn-SageMaker-Session-Id", "SessionId is for stateful sessions"},
};
constexpr size_t kLongestOriginalMessage = 64 * 1024;

struct Path {
  std::string endpoint, operation;
};
std::optional<Path> ParsePath(std::string_view path) {
  if (!path.starts_with(kPrefix)) return std::nullopt;
  path.remove_prefix(kPrefix.size());
  size_t slash = path.find('/');
  std::optional<std::string> name = UriDecode(path.substr(0, slash));
  if (slash == std::string_view::npos || !name || name->empty()) return std::nullopt;
  return Path{*std::move(name), std::string(path.substr(slash + 1))};
}

// The request's fields for the container.
http::Headers Forwarded(const http::Request& request) {
  http::Headers headers;
  for (const auto& [name, value] : request.headers) {
    bool about_routing = EqualsIgnoreCase(name, kTargetVariant);
    bool own = EqualsIgnoreCase(std::string_view(name).substr(0, kHeaderPrefix.size()), kHeaderPrefix);
    if (EqualsIgnoreCase(name, "Content-Type") || EqualsIgnoreCase(name, "Accept") || (own && !about_routing)) {
      headers.Add(name, value);
    }
  }
  headers.Add("x-amzn-RequestId", request.request_id);
  return headers;
}

asio::awaitable<std::string> TextOf(std::variant<std::string, http::StreamBody> body) {
  if (auto* text = std::get_if<std::string>(&body)) co_return std::move(*text);
  std::string text;
  http::BodyReader& reader = *std::get<http::StreamBody>(body).reader;
  while (text.size() < kLongestOriginalMessage) {
    Result<std::string> piece = co_await reader.Read(kLongestOriginalMessage);
    if (!piece || piece->empty()) break;
    text += *piece;
  }
  co_return text;
}

}  // namespace

bool RuntimeApi::Owns(const http::Request& request) {
  if (request.method != "POST" || !request.path.starts_with(kPrefix)) return false;
  return request.headers.Get("Authorization").find("/s3/aws4_request") == std::string_view::npos;
}

http::Response RuntimeApi::Refuse(int status, std::string_view type, std::string_view message) {
  http::Response response{.status = status};
  response.headers.Add("Content-Type", "application/json");
  response.headers.Add("x-amzn-ErrorType", std::string(type));
  response.body = json::serialize(json::object{{"Message", ReplaceInvalidUtf8(message)}});
  return response;
}

asio::awaitable<http::Response> RuntimeApi::Handle(const http::Request& request,
                                                   std::variant<std::string, http::BodyReader*> body) const {
  std::optional<Path> path = ParsePath(request.path);
  if (!path) co_return Refuse(400, "ValidationError", "The path is not /endpoints/NAME/invocations.");
  if (path->operation != "invocations") {
    co_return Refuse(400, "ValidationError",
                     "Sagebrush serves InvokeEndpoint; '" + path->operation + "' of an endpoint is not supported yet.");
  }
  for (const auto& [header, reason] : kRefused) {
    if (request.headers.Has(header)) {
      co_return Refuse(400, "ValidationError", std::string(reason) + ": leave it out.");
    }
  }
  routing::Invocation invocation{
      .endpoint = std::move(path->endpoint), .target_variant = {}, .headers = Forwarded(request), .body = {}};
  if (auto* text = std::get_if<std::string>(&body)) {
    invocation.body = std::move(*text);
  } else {
    invocation.stream = std::get<http::BodyReader*>(body);
  }
  if (const std::string* variant = request.headers.Find(kTargetVariant)) invocation.target_variant = *variant;
  co_return co_await Invoke(std::move(invocation));
}

asio::awaitable<http::Response> RuntimeApi::Invoke(routing::Invocation invocation) const {
  const std::string endpoint = invocation.endpoint;
  Result<routing::InvocationReply> reply = co_await invoker_.Invoke(std::move(invocation));
  if (!reply) co_return ErrorReply(endpoint, reply.error());
  if (reply->status < 200 || reply->status > 299) co_return co_await ModelError(endpoint, *std::move(reply));
  http::Response response;
  response.headers.Add("x-Amzn-Invoked-Production-Variant", reply->variant);
  for (std::string_view name : {std::string_view("Content-Type"), kCustomAttributes}) {
    if (const std::string* value = reply->headers.Find(name)) response.headers.Add(std::string(name), *value);
  }
  if (auto* text = std::get_if<std::string>(&reply->body)) {
    response.body = std::move(*text);
  } else {
    response.body = std::get<http::StreamBody>(std::move(reply->body));
  }
  co_return response;
}

http::Response RuntimeApi::ErrorReply(const std::string& endpoint, const Error& error) const {
  if (error.kind == ErrorKind::kNotFound) {
    return Refuse(400, "ValidationError",
                  "Endpoint " + endpoint + " of account " + options_.installation.account +
                      " not found. (It takes requests once its status is InService.)");
  }
  if (error.kind == ErrorKind::kInvalidArgument) return Refuse(400, "ValidationError", error.message);
  if (error.kind == ErrorKind::kDeadlineExceeded) {
    return ModelErrorOf(endpoint, 0, "Your invocation timed out while waiting for a response from container primary.",
                        "");
  }
  if (error.kind == ErrorKind::kUnavailable) return Refuse(503, "ServiceUnavailable", error.message);
  return Refuse(500, "InternalFailure", error.message);
}

asio::awaitable<http::Response> RuntimeApi::ModelError(const std::string& endpoint,
                                                       routing::InvocationReply reply) const {
  int status = reply.status;
  std::string text = co_await TextOf(std::move(reply.body));
  co_return ModelErrorOf(endpoint, status, text, control::EndpointReconciler::LogStream(reply.instance, reply.variant));
}

http::Response RuntimeApi::ModelErrorOf(const std::string& endpoint, int status, const std::string& message,
                                        const std::string& stream) const {
  std::string group = control::EndpointReconciler::LogGroup(control::EndpointName(endpoint));
  std::string original = ReplaceInvalidUtf8(message);
  std::string arn =
      "arn:aws:logs:" + options_.installation.region + ":" + options_.installation.account + ":log-group:" + group;
  if (!stream.empty()) arn += ":log-stream:" + stream;
  std::string kind = status >= 400 && status < 500 ? "client" : "server";
  http::Response response = Refuse(424, "ModelError", "");
  response.body = json::serialize(json::object{
      {"Message", "Received " + kind + " error (" + std::to_string(status) + ") from primary with message \"" +
                      original + "\". See " + group + " in the logs of account " + options_.installation.account +
                      " for more information."},
      {"OriginalStatusCode", status},
      {"OriginalMessage", original},
      {"LogStreamArn", arn}});
  return response;
}

}  // namespace sagebrush::api
