#include "api/json_service.h"

#include <fmt/format.h>

#include "base/log.h"
#include "wire/errors.h"

namespace sagebrush::api {
namespace {

http::Response MakeReply(int status, std::string_view json_version, std::string body, const CallContext& context) {
  http::Response response;
  response.status = status;
  response.headers.Add("Content-Type", fmt::format("application/x-amz-json-{}", json_version));
  response.headers.Add("x-amzn-RequestId", context.request_id);
  response.body = std::move(body);
  return response;
}

}  // namespace

http::Response JsonService::Call(std::string_view operation, std::string_view body, const CallContext& context) const {
  auto found = operations_.find(operation);
  Result<std::string> reply =
      found != operations_.end()
          ? found->second(body, context)
          : Fail(Error(
                ErrorKind::kInvalidArgument,
                fmt::format("The operation '{}' is unknown to this service or not supported by Sagebrush.", operation),
                "UnknownOperationException"));
  if (reply) return MakeReply(200, json_version_, *std::move(reply), context);
  wire::WireError error = wire::ToWireError(reply.error(), wire::ErrorStyle::kJson);
  if (error.status >= 500) {
    Log(LogLevel::kError, "api_call_failed",
        {{"operation", operation}, {"request_id", context.request_id}, {"error", reply.error().message}});
  }
  std::string query_error;
  if (auto exception = query_exceptions_.find(error.code); exception != query_exceptions_.end()) {
    query_error = fmt::format("{};{}", error.code, error.status >= 500 ? "Receiver" : "Sender");
    error.code = exception->second;
  }
  std::string text = wire::ErrorBody(error, wire::ErrorStyle::kJson, context.request_id);
  http::Response response = MakeReply(error.status, json_version_, std::move(text), context);
  if (!query_error.empty()) response.headers.Add("x-amzn-query-error", query_error);
  return response;
}

}  // namespace sagebrush::api
