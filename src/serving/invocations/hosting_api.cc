#include "serving/invocations/hosting_api.h"

#include <algorithm>
#include <boost/json.hpp>

#include "base/text.h"
#include "serving/core/status.h"
#include "serving/invocations/json_forms.h"
#include "serving/invocations/npy.h"
#include "serving/rest/await_inference.h"
#include "serving/rest/request_body.h"

namespace sagebrush::serving {
namespace {

constexpr int kMaxPayloadMb = 6;  // of one invocation on the hosted service

// f(done) with `done` called once from any thread: the reply, on the caller's executor.
template <class Function>
asio::awaitable<HandlerReply> AwaitHandler(Function function) {
  auto executor = co_await asio::this_coro::executor;
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>&, void(HandlerReply)>(
      [executor](auto handler, Function f) {
        f([executor, handler = std::move(handler)](HandlerReply reply) mutable {
          asio::post(executor, [handler = std::move(handler), reply = std::move(reply)]() mutable {
            std::move(handler)(std::move(reply));
          });
        });
      },
      asio::use_awaitable, std::move(function));
}

// The output of a signature that has one, as an array file.
Result<std::string> EncodeOnlyOutput(const Signature& signature, const Tensors& outputs) {
  if (outputs.size() == 1) return EncodeNpy(outputs.front());
  return Fail(InvalidArgument("The model has " + std::to_string(signature.outputs.size()) +
                              " outputs and application/x-npy holds one array: accept application/json"));
}

// The call for a body in one of the forms of /invocations.
Result<RestCall> MakeCall(const HostedRequest& hosted, HostedTarget target, std::string body, RequestContext context) {
  RestCall call{
      .spec = std::move(target.spec), .method = target.method, .body = std::move(body), .context = std::move(context)};
  bool rows = hosted.content != HostedRequest::Content::kJson;
  if ((rows || hosted.reply == HostedRequest::Reply::kNpy) && target.method != RestMethod::kPredict) {
    return Fail(InvalidArgument("text/csv and application/x-npy are for tfs-method=predict"));
  }
  if (hosted.reply == HostedRequest::Reply::kNpy) call.encoder = EncodeOnlyOutput;
  if (hosted.content == HostedRequest::Content::kCsv) {
    call.decoder = [header = hosted.csv_header](const Servable& model, const std::string& csv) {
      return DecodeCsv(csv, header, model);
    };
  } else if (hosted.content == HostedRequest::Content::kNpy) {
    call.decoder = [](const Servable& model, const std::string& array) { return DecodeNpy(array, model); };
  } else if (target.method == RestMethod::kPredict) {
    call.decoder = [](const Servable& model, const std::string& json) {
      return ParsePredict(json, FormOfInvocation(json), model.signatures());
    };
  }
  return call;
}

// TensorFlow Serving's words hold quotes that its JSON escapes without need.
std::string Unescaped(std::string body) {
  constexpr std::string_view kEscaped = "\\'instances\\'";
  for (size_t at = body.find(kEscaped); at != std::string::npos; at = body.find(kEscaped, at)) {
    body.replace(at, kEscaped.size(), "'instances'");
  }
  return body;
}

http::Response ToResponse(RestReply reply, const HostedRequest& hosted) {
  if (reply.status == 200 && hosted.reply == HostedRequest::Reply::kNpy) {
    http::Response response = JsonResponse(200, std::move(reply.body));
    response.headers.Set("Content-Type", hosted.reply_type);
    return response;
  }
  if (reply.status == 400) reply.body = Unescaped(std::move(reply.body));
  bool one_line = hosted.reply == HostedRequest::Reply::kOneLine;
  if (one_line) std::erase(reply.body, '\n');
  http::Response response = JsonResponse(reply.status, std::move(reply.body));
  if (one_line) response.headers.Set("Content-Type", hosted.reply_type);
  return response;
}

http::Response BodyError(const Error& error) { return ErrorResponse(RequestBodyStatus(error), error.message); }

http::Response NotAllowed(const std::string& allowed) {
  http::Response response = ErrorResponse(405, "Method Not Allowed");
  response.headers.Add("Allow", allowed);
  return response;
}

std::optional<std::string> Header(const http::Request& request, std::string_view name) {
  const std::string* value = request.headers.Find(name);
  return value == nullptr ? std::nullopt : std::optional(*value);
}

}  // namespace

HostingApi::HostingApi(io::Runtime& runtime, ModelService& service, Handlers& handlers, HostingApiOptions options)
    : service_(service),
      handlers_(handlers),
      options_(std::move(options)),
      models_(runtime, service, handlers, options_.load_timeout) {}

asio::awaitable<http::Response> HostingApi::Handle(http::Request& request) {
  const std::string& path = request.path;
  if (path == "/ping") co_return request.method == "GET" ? Ping() : NotAllowed("GET");
  if (path == "/execution-parameters") {
    co_return request.method == "GET" ? ExecutionParameters() : NotAllowed("GET");
  }
  if (path == "/invocations") {
    if (request.method != "POST") co_return NotAllowed("POST");
    co_return co_await Invoke(request, "");
  }
  if (options_.multi_model && (path == "/models" || path.starts_with("/models/"))) {
    co_return co_await HandleModels(request);
  }
  co_return ErrorResponse(404, "Not Found");
}

asio::awaitable<http::Response> HostingApi::HandleModels(http::Request& request) {
  std::string_view rest = std::string_view(request.path).substr(std::string_view("/models").size());
  if (rest.empty()) {
    if (request.method == "GET") co_return models_.List();
    if (request.method == "POST") co_return co_await LoadModel(request);
    co_return NotAllowed("GET, POST");
  }
  std::vector<std::string_view> parts = Split(rest.substr(1), '/');
  std::optional<std::string> name = UriDecode(parts[0]);
  if (!name || name->empty() || parts.size() > 2 || (parts.size() == 2 && parts[1] != "invoke")) {
    co_return ErrorResponse(404, "Not Found");
  }
  if (parts.size() == 2) {
    if (request.method != "POST") co_return NotAllowed("POST");
    if (!models_.Has(*name)) co_return ErrorResponse(404, "Model " + *name + " is not loaded yet.");
    co_return co_await Invoke(request, *name);
  }
  if (request.method == "GET") co_return models_.Describe(*name);
  if (request.method == "DELETE") co_return co_await models_.Unload(*name);
  co_return NotAllowed("GET, DELETE");
}

asio::awaitable<http::Response> HostingApi::LoadModel(http::Request& request) {
  Result<std::string> body = co_await ReadRequestBody(request, size_t{64} * 1024);
  if (!body) co_return BodyError(body.error());
  co_return co_await models_.Load(*std::move(body));
}

RequestContext HostingApi::NewContext(const http::Request& request) const {
  return {.deadline = std::chrono::steady_clock::now() + options_.request_timeout, .abandoned = request.peer_gone};
}

asio::awaitable<http::Response> HostingApi::Invoke(http::Request& request, std::string model) {
  HostedRequest::Attributes attributes = ReadAttributes(request.headers);
  if (!model.empty()) attributes.model_name = model;
  std::string name = attributes.model_name.value_or(options_.default_model);
  if (std::shared_ptr<HandlerPool> pool = handlers_.Find(name)) {
    Result<std::string> body = co_await ReadRequestBody(request, options_.body_limit);
    if (!body) co_return BodyError(body.error());
    co_return co_await InvokeHandlers(request, std::move(model), std::move(pool), *std::move(body));
  }
  Result<HostedRequest> hosted = ReadHostedRequest(request.headers);
  if (!hosted) co_return ErrorResponse(415, hosted.error().message);
  Result<HostedTarget> target = ReadTarget(attributes, options_.default_model);
  if (!target) co_return ErrorResponse(400, target.error().message);
  Result<std::string> body = co_await ReadRequestBody(request, options_.body_limit);
  if (!body) co_return BodyError(body.error());
  Result<RestCall> call = MakeCall(*hosted, *std::move(target), *std::move(body), NewContext(request));
  if (!call) co_return ToResponse(ErrorReply(call.error()), *hosted);
  RestReply reply = co_await AwaitRestInference(service_, *std::move(call));
  co_return ToResponse(std::move(reply), *hosted);
}

asio::awaitable<http::Response> HostingApi::InvokeHandlers(http::Request& request, std::string model,
                                                           std::shared_ptr<HandlerPool> pool, std::string body) {
  HostedRequest::Attributes attributes = ReadAttributes(request.headers);
  HandlerRequest call;
  call.model_name = model.empty() ? attributes.model_name : model;
  call.model_version = attributes.model_version;
  call.method = attributes.method;
  std::string name = call.model_name.value_or(options_.default_model);
  if (name.empty()) co_return ErrorResponse(400, "Invocation request does not contain model name.");
  call.rest_uri = "http://localhost:" + std::to_string(options_.rest_port) + "/v1/models/" + name +
                  (attributes.model_version ? "/versions/" + *attributes.model_version : "") + ":" +
                  attributes.method.value_or("predict");
  call.grpc_port = std::to_string(options_.grpc_port);
  call.custom_attributes = Header(request, kCustomAttributes);
  call.request_content_type = Header(request, "Content-Type").value_or(call.request_content_type);
  call.accept_header = Header(request, "Accept").value_or(call.accept_header);
  call.content_length = request.body->length();
  call.body = std::move(body);
  attributes.model_name = name;
  Result<HostedTarget> target = ReadTarget(attributes, name);
  call.target =
      target ? Result<std::pair<ModelSpec, RestMethod>>({target->spec, target->method}) : Fail(target.error());
  call.context = NewContext(request);
  auto run = [pool, call = std::move(call)](auto done) mutable { pool->Submit(std::move(call), std::move(done)); };
  HandlerReply reply = co_await AwaitHandler(std::move(run));
  http::Response response = JsonResponse(reply.status, std::move(reply.body));
  response.headers.Set("Content-Type", reply.content_type);
  co_return response;
}

http::Response HostingApi::Ping() const {
  bool ready = handlers_.healthy();
  if (ready && !options_.multi_model) {
    Result<std::vector<VersionStatus>> versions =
        service_.Status({.name = options_.default_model, .version = {}, .label = {}});
    // A version that was unloaded in peace is none that is missing.
    if (versions) std::erase_if(*versions, [](const auto& v) { return v.state == VersionState::kEnd && !v.error; });
    ready = versions && !versions->empty() &&
            std::ranges::all_of(*versions, [](const auto& v) { return v.state == VersionState::kAvailable; });
  }
  return JsonResponse(ready ? 200 : 502, "");
}

http::Response HostingApi::ExecutionParameters() const {
  namespace json = boost::json;
  return JsonResponse(200, json::serialize(json::object{{"MaxConcurrentTransforms", options_.concurrent_requests},
                                                        {"BatchStrategy", "MULTI_RECORD"},
                                                        {"MaxPayloadInMB", kMaxPayloadMb}}));
}

}  // namespace sagebrush::serving
