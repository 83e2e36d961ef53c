#include "client/session.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <chrono>
#include <utility>

#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"

namespace sagebrush::client {
namespace {

namespace json = boost::json;

constexpr std::chrono::seconds kDeadline{30};
constexpr std::chrono::hours kInvocationDeadline{24};
constexpr size_t kLargestInvocationReply = size_t{1} << 30;

struct Address {
  std::string host, authority;  // without and with port (and brackets)
  uint16_t port = 0;
};

Result<Address> ParseEndpoint(std::string_view endpoint) {
  constexpr std::string_view kScheme = "http://";
  Address address;
  if (endpoint.starts_with(kScheme)) {
    address.authority =
        std::string(endpoint.substr(kScheme.size(), endpoint.find('/', kScheme.size()) - kScheme.size()));
    size_t colon = address.authority.rfind(':');
    auto port = colon == std::string::npos ? std::nullopt : ParseInt(address.authority.substr(colon + 1));
    address.host = address.authority.substr(0, colon);
    if (address.host.starts_with('[') && address.host.ends_with(']')) {
      address.host = address.host.substr(1, address.host.size() - 2);
    }
    if (port && *port > 0 && *port <= 65535 && !address.host.empty()) {
      address.port = static_cast<uint16_t>(*port);
      return address;
    }
  }
  return Fail(InvalidArgument(fmt::format("{} is no engine's endpoint: http://host:port is expected.", endpoint)));
}

ErrorKind KindOf(int status, std::string_view code) {
  if (code.find("NotFound") != std::string_view::npos) return ErrorKind::kNotFound;
  if (code == "AccessDeniedException" || code == "AccessDenied") return ErrorKind::kPermissionDenied;
  if (code == "ResourceInUse") return ErrorKind::kAlreadyExists;
  if (code == "ResourceLimitExceeded" || code == "ThrottlingException") return ErrorKind::kResourceExhausted;
  if (status == 401 || status == 403 || code.find("Signature") != std::string_view::npos ||
      code == "UnrecognizedClientException" || code == "MissingAuthenticationToken") {
    return ErrorKind::kUnauthenticated;
  }
  if (status == 503) return ErrorKind::kUnavailable;
  return status >= 500 ? ErrorKind::kInternal : ErrorKind::kInvalidArgument;
}

std::string StringMember(const json::object& object, std::initializer_list<std::string_view> names) {
  for (std::string_view name : names) {
    const json::value* value = object.if_contains(name);
    if (value != nullptr && value->is_string()) return std::string(value->get_string());
  }
  return "";
}

}  // namespace

struct Session::Connection {
  Target target;
  Address address;
  http::Client client;
};

Session::Session(TargetSource source) : source_(std::move(source)) {}
Session::~Session() = default;

Error ErrorFromReply(int status, std::string_view body) {
  boost::system::error_code broken;
  json::value value = json::parse(body, broken);
  std::string code, message;
  if (!broken && value.is_object()) {
    code = StringMember(value.get_object(), {"__type", "code"});
    code = code.substr(code.rfind('#') + 1);  // "com.amazonaws.sagemaker#ResourceNotFound"
    message = StringMember(value.get_object(), {"message", "Message"});
  }
  if (message.empty()) {
    message = code.empty() ? fmt::format("The engine answered with HTTP status {} and no explanation.", status)
                           : fmt::format("The engine refused: {}.", code);
  }
  ErrorKind kind = KindOf(status, code);
  return Error(kind, std::move(message), std::move(code));
}

Result<void> Session::Connect() {
  TRY(Target target, source_());
  TRY(Address address, ParseEndpoint(target.endpoint));
  connection_.reset(
      new Connection{.target = std::move(target),
                     .address = address,
                     .client = http::Client::ForTcp(address.host, address.port, {.deadline = kDeadline})});
  return {};
}

http::ClientRequest Session::Signed(http::ClientRequest request, std::string_view service) const {
  wire::SignableRequest signable{.method = request.method, .path = request.target, .query = {}, .headers = {}};
  signable.headers.emplace_back("Host", connection_->address.authority);
  for (const auto& field : request.headers) signable.headers.push_back(field);
  wire::Sign(signable, connection_->target.credentials, connection_->target.region, service,
             HexEncode(Sha256(request.body)), WallClockMs());
  request.headers = {};
  for (auto& [name, value] : signable.headers) request.headers.Add(std::move(name), std::move(value));
  return request;
}

Result<std::string> Session::CallJson(const Operation& operation, std::string_view body) {
  if (!connection_) TRYV(Connect());
  http::ClientRequest request{.method = "POST", .target = "/", .headers = {}, .body = std::string(body)};
  request.headers.Add("Content-Type", "application/x-amz-json-1.1");
  request.headers.Add("X-Amz-Target", fmt::format("{}.{}", operation.target, operation.name));
  auto response = connection_->client.Call(Signed(std::move(request), operation.service));
  if (!response) {
    // The engine may come back elsewhere or with other keys.
    connection_.reset();
    return Fail(std::move(response).error());
  }
  if (response->status == 200) return std::move(response->body);
  Error error = ErrorFromReply(response->status, response->body);
  if (error.kind == ErrorKind::kUnavailable || error.kind == ErrorKind::kUnauthenticated) connection_.reset();
  return Fail(std::move(error));
}

Result<InvocationReply> Session::Invoke(const Invocation& invocation) {
  if (!connection_) TRYV(Connect());
  http::ClientRequest request{.method = "POST",
                              .target = "/endpoints/" + UriEncode(invocation.endpoint) + "/invocations",
                              .headers = {},
                              .body = invocation.body};
  request.headers.Add("Content-Type", invocation.content_type);
  if (!invocation.accept.empty()) request.headers.Add("Accept", invocation.accept);
  if (!invocation.variant.empty()) request.headers.Add("X-Amzn-SageMaker-Target-Variant", invocation.variant);
  const Address& address = connection_->address;
  auto client = http::Client::ForTcp(address.host, address.port,
                                     {.deadline = kInvocationDeadline, .response_limit = kLargestInvocationReply});
  auto response = client.Call(Signed(std::move(request), "sagemaker"));
  if (!response) {
    connection_.reset();
    return Fail(std::move(response).error());
  }
  if (response->status != 200) {
    Error error = ErrorFromReply(response->status, response->body);
    error.code = response->headers.Get("x-amzn-ErrorType");
    return Fail(std::move(error));
  }
  return InvocationReply{.content_type = std::string(response->headers.Get("Content-Type")),
                         .variant = std::string(response->headers.Get("x-Amzn-Invoked-Production-Variant")),
                         .body = std::move(response->body)};
}

}  // namespace sagebrush::client
