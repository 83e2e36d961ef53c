#include "api/edge.h"

#include "api/signed_body.h"
#include "base/gzip.h"
#include "base/hash.h"
#include "base/text.h"
#include "wire/errors.h"
#include "wire/query.h"

namespace sagebrush::api {
namespace {

namespace asio = http::asio;

// The hosted services' limits on a request are of this order; objects are not held in memory.
constexpr size_t kLargestCallBytes = 8 << 20;
// An invocation's body up to this is read whole before its signature is checked: one digest, one piece to send.
constexpr size_t kLargestWhole = 128 * 1024;

http::Response ErrorReply(const Error& error, wire::ErrorStyle style, const http::Request& request) {
  wire::WireError wire_error = wire::ToWireError(error, style);
  http::Response response;
  response.status = wire_error.status;
  response.headers.Add("Content-Type", std::string(wire::ErrorContentType(style)));
  if (request.method != "HEAD") {
    response.body = wire::ErrorBody(wire_error, style, request.request_id, request.path);
  }
  return response;
}

wire::SignableRequest Signable(const http::Request& request) {
  wire::SignableRequest signable{request.method, request.path, request.query, {}};
  for (const auto& [name, value] : request.headers) signable.headers.emplace_back(name, value);
  return signable;
}

bool IsForm(const http::Request& request) {
  return request.headers.Get("Content-Type").starts_with("application/x-www-form-urlencoded");
}

// The body without the compression that clients give large ones; the signature is of what came.
Result<std::string> Unpacked(const http::Request& request, std::string_view body) {
  std::string_view encoding = Trim(request.headers.Get("Content-Encoding"));
  if (encoding.empty() || EqualsIgnoreCase(encoding, "identity")) return std::string(body);
  if (!EqualsIgnoreCase(encoding, "gzip")) {
    return Fail(InvalidArgument(
        "Content-Encoding '" + std::string(encoding) + "' is not supported: send the body as it is, or with gzip.",
        "SerializationException"));
  }
  Gunzip gunzip(kLargestCallBytes);
  Result<void> added = gunzip.Add(body);
  Result<std::string> plain = added ? std::move(gunzip).Finish() : Fail(std::move(added).error());
  if (!plain && plain.error().kind == ErrorKind::kInvalidArgument) plain.error().code = "SerializationException";
  return plain;
}

http::Response RuntimeRefusal(const Error& error) {
  if (error.kind == ErrorKind::kInvalidArgument && error.code.empty()) {
    return RuntimeApi::Refuse(400, "ValidationError", error.message);
  }
  wire::WireError wire_error = wire::ToWireError(error, wire::ErrorStyle::kJson);
  return RuntimeApi::Refuse(wire_error.status, wire_error.code, wire_error.message);
}

http::Response Health() {
  http::Response response;
  response.headers.Add("Content-Type", "application/json");
  response.body = std::string(R"({"status":"ok","version":")") + SAGEBRUSH_VERSION + "\"}\n";
  return response;
}

}  // namespace

asio::awaitable<http::Response> Edge::Handle(http::Request& request) {
  if (request.method == "GET" && request.path == "/_sagebrush/health") co_return Health();
  if (const std::string* target = request.headers.Find("X-Amz-Target")) {
    size_t dot = target->find('.');
    std::string_view prefix = std::string_view(*target).substr(0, dot);
    std::string operation = dot == std::string::npos ? std::string() : target->substr(dot + 1);
    const JsonService* service = prefix == "SageMaker"                       ? &services_.sagemaker
                                 : prefix == "Logs_20140328"                 ? &services_.logs
                                 : prefix == "GraniteServiceVersion20100801" ? &services_.metrics
                                                                             : nullptr;
    co_return co_await HandleJson(request, service, std::move(operation));
  }
  if (RuntimeApi::Owns(request)) co_return co_await HandleRuntime(request);
  if (request.method == "POST" && request.path == "/" && IsForm(request)) co_return co_await HandleQuery(request);
  co_return co_await HandleS3(request);
}

Result<CallContext> Edge::Verify(const http::Request& request, std::string_view payload_hash, bool is_s3) const {
  TRY(wire::VerifiedCaller caller, wire::VerifySignature(
                                       Signable(request), payload_hash, is_s3,
                                       [this](std::string_view key) { return keys_.Find(key); }, clock_.NowMs()));
  return CallContext{std::move(caller), request.request_id, std::string(request.headers.Get("amz-sdk-invocation-id"))};
}

asio::awaitable<http::Response> Edge::HandleJson(http::Request& request, const JsonService* service,
                                                 std::string operation) {
  Result<std::string> body = co_await http::ReadAll(*request.body, kLargestCallBytes);
  if (!body) co_return ErrorReply(body.error(), wire::ErrorStyle::kJson, request);
  co_return co_await io::OnBlockingPool(
      runtime_, [this, &request, service, operation = std::move(operation), body = *std::move(body)] {
        Result<CallContext> context = Verify(request, HexEncode(Sha256(body)), false);
        if (!context) return ErrorReply(context.error(), wire::ErrorStyle::kJson, request);
        if (service == nullptr) {
          return ErrorReply(InvalidArgument("X-Amz-Target '" + std::string(request.headers.Get("X-Amz-Target")) +
                                                "' names no service that Sagebrush offers (SageMaker, Logs_20140328, "
                                                "GraniteServiceVersion20100801).",
                                            "UnknownOperationException"),
                            wire::ErrorStyle::kJson, request);
        }
        Result<std::string> plain = Unpacked(request, body);
        if (!plain) return ErrorReply(plain.error(), wire::ErrorStyle::kJson, request);
        return service->Call(operation, *plain, *context);
      });
}

// Without the blocking pool: a signature costs microseconds, and an invocation waits for its container only.
asio::awaitable<http::Response> Edge::HandleRuntime(http::Request& request) {
  size_t limit = services_.runtime.body_limit();
  std::optional<uint64_t> length = request.body->length();
  if (length > kLargestWhole && length <= limit) co_return co_await StreamToRuntime(request, *length);
  Result<std::string> body = co_await http::ReadAll(*request.body, limit);
  if (!body && body.error().kind == ErrorKind::kResourceExhausted) {
    co_return RuntimeApi::Refuse(413, "ValidationError",
                                 "The request body is larger than the " + std::to_string(limit) +
                                     " bytes that an invocation may have (--max-invocation-bytes raises it).");
  }
  if (!body) co_return RuntimeApi::Refuse(400, "ValidationError", body.error().message);
  Result<CallContext> context = Verify(request, HexEncode(Sha256(*body)), false);
  if (!context) co_return RuntimeRefusal(context.error());
  co_return co_await services_.runtime.Handle(request, *std::move(body));
}

// A large body is passed on while it comes, but its end only once the signature over the whole is known to be right.
asio::awaitable<http::Response> Edge::StreamToRuntime(http::Request& request, uint64_t length) {
  wire::SignableRequest signable = Signable(request);
  Result<wire::PendingSignature> signature =
      wire::PendingSignature::Begin(signable, [this](std::string_view key) { return keys_.Find(key); }, clock_.NowMs());
  if (!signature) co_return RuntimeRefusal(signature.error());
  SignedBody body(*request.body, length, *std::move(signature), wire::DeclaredPayloadHash(signable));
  if (Result<void> head = body.CheckHead(); !head) co_return RuntimeRefusal(head.error());
  http::Response response = co_await services_.runtime.Handle(request, &body);
  // A container may answer before it has read everything, and then the signature is still to be checked.
  if (Result<void> right = co_await body.Finish(); !right) co_return RuntimeRefusal(right.error());
  co_return response;
}

asio::awaitable<http::Response> Edge::HandleQuery(http::Request& request) {
  Result<std::string> body = co_await http::ReadAll(*request.body, kLargestCallBytes);
  if (!body) co_return ErrorReply(body.error(), wire::ErrorStyle::kQuery, request);
  co_return co_await io::OnBlockingPool(runtime_, [this, &request, body = *std::move(body)] {
    Result<CallContext> context = Verify(request, HexEncode(Sha256(body)), false);
    if (!context) return ErrorReply(context.error(), wire::ErrorStyle::kQuery, request);
    Result<std::string> plain = Unpacked(request, body);
    if (!plain) return QueryService::Refuse(plain.error(), *context);
    Result<wire::Form> form = wire::ParseForm(*plain);
    if (!form) return QueryService::Refuse(form.error(), *context);
    return services_.query.Call(*form, *context);
  });
}

asio::awaitable<http::Response> Edge::HandleS3(http::Request& request) {
  std::string declared(wire::DeclaredPayloadHash(Signable(request)));
  Result<CallContext> context = Verify(request, declared, true);
  if (!context) co_return ErrorReply(context.error(), wire::ErrorStyle::kS3, request);
  co_return co_await services_.s3.Handle(request, *context);
}

}  // namespace sagebrush::api
