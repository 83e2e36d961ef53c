#include "serving/rest/rest_api.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "serving/codec/json_outputs.h"
#include "serving/rest/await_inference.h"
#include "serving/rest/model_info.h"
#include "serving/rest/request_body.h"

namespace sagebrush::serving {
namespace {

constexpr std::string_view kPrefix = "/v1/", kModels = "/v1/models", kVersions = "/versions/", kLabels = "/labels/";
constexpr std::string_view kMetadata = "/metadata";

// Whether `path` begins with `prefix`, in any case, which it loses then.
bool TakePrefix(std::string_view& path, std::string_view prefix) {
  if (!EqualsIgnoreCase(path.substr(0, prefix.size()), prefix)) return false;
  path.remove_prefix(prefix.size());
  return true;
}

// Up to the next '/' or ':'.
std::string_view TakeSegment(std::string_view& path) {
  std::string_view segment = path.substr(0, path.find_first_of("/:"));
  path.remove_prefix(segment.size());
  return segment;
}

bool IsPreflight(const http::Request& request) {
  std::string_view origin = request.headers.Get("Origin");
  return origin.starts_with("http://") || origin.starts_with("https://");
}

void AllowAnyOrigin(http::Response& response) {
  response.headers.Set("Access-Control-Allow-Origin", "*");
  response.headers.Set("Access-Control-Allow-Methods", "POST, GET, OPTIONS");
  response.headers.Set("Access-Control-Allow-Headers", "Origin, X-Requested-With, Content-Type, Accept, Authorization");
}

}  // namespace

struct RestApi::Route {
  enum class Kind { kInference, kStatus, kMetadata };
  Kind kind = Kind::kStatus;
  ModelSpec spec;
  RestMethod method = RestMethod::kPredict;
};

Result<RestApi::Route> RestApi::RouteOf(const http::Request& request) {
  Error malformed = InvalidArgument(fmt::format("Malformed request: {} {}", request.method, request.path));
  std::string_view rest = request.path;
  if (!TakePrefix(rest, kModels)) return Fail(malformed);
  bool get = request.method == "GET";
  if (rest.empty()) return Fail(get ? InvalidArgument("Missing model name in request.") : malformed);
  Route route;
  bool slash = TakePrefix(rest, "/");
  std::optional<std::string> name = UriDecode(TakeSegment(rest));
  if (!slash || !name || name->empty()) return Fail(malformed);
  route.spec.name = *std::move(name);
  if (TakePrefix(rest, kVersions)) {
    std::string_view digits = TakeSegment(rest);
    bool numeric = !digits.empty() && std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; });
    if (!numeric) return Fail(malformed);
    route.spec.version = ParseInt(digits);
    if (!route.spec.version) {
      return Fail(InvalidArgument(fmt::format("Failed to convert version: {} to numeric.", digits)));
    }
  } else if (TakePrefix(rest, kLabels)) {
    std::optional<std::string> label = UriDecode(TakeSegment(rest));
    if (!label || label->empty()) return Fail(malformed);
    route.spec.label = *std::move(label);
  }
  if (get && (rest.empty() || rest == kMetadata)) {
    route.kind = rest.empty() ? Route::Kind::kStatus : Route::Kind::kMetadata;
    return route;
  }
  route.kind = Route::Kind::kInference;
  if (rest == ":classify") route.method = RestMethod::kClassify;
  if (rest == ":regress") route.method = RestMethod::kRegress;
  bool known = rest == ":predict" || route.method != RestMethod::kPredict;
  if (request.method != "POST" || !known) return Fail(malformed);
  return route;
}

RestReply RestApi::Describe(const Route& route) const {
  if (route.kind == Route::Kind::kStatus) {
    Result<std::vector<VersionStatus>> versions = service_.Status(route.spec);
    return versions ? RestReply{.body = PrintModelStatus(*versions)} : ErrorReply(versions.error());
  }
  Result<std::shared_ptr<const Servable>> servable = service_.Find(route.spec);
  return servable ? RestReply{.body = PrintModelMetadata(**servable)} : ErrorReply(servable.error());
}

http::asio::awaitable<RestReply> RestApi::Infer(http::Request& request, Route route) const {
  Result<std::string> body = co_await ReadRequestBody(request, options_.body_limit);
  if (!body) co_return RestReply{.status = RequestBodyStatus(body.error()), .body = PrintError(body.error().message)};
  RestCall call{.spec = std::move(route.spec), .method = route.method, .body = *std::move(body)};
  call.context.deadline = std::chrono::steady_clock::now() + options_.timeout;
  co_return co_await AwaitRestInference(service_, std::move(call));
}

http::asio::awaitable<RestReply> RestApi::Dispatch(http::Request& request) const {
  if (request.method == "OPTIONS") {
    if (IsPreflight(request)) co_return RestReply{};
    co_return ErrorReply(Error(ErrorKind::kFailedPrecondition,
                               "Origin header is missing in CORS preflight: it must be a http(s):// URL"));
  }
  Result<Route> route = RouteOf(request);
  if (!route) co_return ErrorReply(route.error());
  if (route->kind != Route::Kind::kInference) co_return Describe(*route);
  co_return co_await Infer(request, *std::move(route));
}

http::asio::awaitable<http::Response> RestApi::Handle(http::Request& request) const {
  std::string_view path = request.path;
  if (!TakePrefix(path, kPrefix)) {
    http::Response missing{.status = 404};
    missing.headers.Set("Content-Type", "text/plain");
    missing.body = "Not Found\n";
    co_return missing;
  }
  http::Response response = HttpResponseOf(co_await Dispatch(request));
  if (options_.cors) AllowAnyOrigin(response);
  co_return response;
}

http::Response HttpResponseOf(RestReply reply) {
  http::Response response{.status = reply.status};
  response.headers.Set("Content-Type", "application/json");
  if (reply.status == 503) response.headers.Set("Retry-After", "1");
  response.body = std::move(reply.body);
  return response;
}

}  // namespace sagebrush::serving
