#include "api/query_service.h"

#include <fmt/format.h>

#include "base/log.h"
#include "wire/errors.h"

namespace sagebrush::api {
namespace {

http::Response MakeReply(int status, std::string body, const CallContext& context) {
  http::Response response;
  response.status = status;
  response.headers.Add("Content-Type", "text/xml");
  response.headers.Add("x-amzn-RequestId", context.request_id);
  response.body = std::move(body);
  return response;
}

}  // namespace

http::Response QueryService::Refuse(const Error& error, const CallContext& context) {
  wire::WireError mapped = wire::ToWireError(error, wire::ErrorStyle::kQuery);
  return MakeReply(mapped.status, wire::ErrorBody(mapped, wire::ErrorStyle::kQuery, context.request_id), context);
}

http::Response QueryService::Call(const wire::Form& form, const CallContext& context) const {
  const std::string* action = wire::FindField(form, "Action");
  const std::string* version = wire::FindField(form, "Version");
  if (action == nullptr) {
    return Refuse(InvalidArgument("The request must contain the parameter Action.", "MissingAction"), context);
  }
  auto found = actions_.find({version == nullptr ? "" : *version, *action});
  if (found == actions_.end()) {
    return Refuse(InvalidArgument(fmt::format("Could not find operation {} for version {}.", *action,
                                              version == nullptr ? "NO_VERSION_SPECIFIED" : *version),
                                  "InvalidAction"),
                  context);
  }
  Result<std::string> result = found->second.run(form, context);
  if (!result) {
    if (wire::ToWireError(result.error(), wire::ErrorStyle::kQuery).status >= 500) {
      Log(LogLevel::kError, "api_call_failed",
          {{"operation", *action}, {"request_id", context.request_id}, {"error", result.error().message}});
    }
    return Refuse(result.error(), context);
  }
  std::string body = fmt::format(
      "<{0}Response xmlns=\"{1}\"><{0}Result>{2}</{0}Result><ResponseMetadata><RequestId>{3}</RequestId>"
      "</ResponseMetadata></{0}Response>",
      *action, found->second.xml_namespace, *result, wire::XmlEscape(context.request_id));
  return MakeReply(200, std::move(body), context);
}

}  // namespace sagebrush::api
