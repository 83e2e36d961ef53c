#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "api/call_context.h"
#include "base/result.h"
#include "http/message.h"
#include "wire/query.h"

namespace sagebrush::api {

// The services of the AWS Query protocol: POST /, a form with Action and Version, an XML reply. A Version belongs to
// one service, so one object answers for all of them. Handlers are as in JsonService. Register everything before the
// first Call.
class QueryService {
 public:
  template <class Request, class Reply>
  void Register(std::string version, std::string xml_namespace, std::string action,
                std::function<Result<Reply>(const Request&, const CallContext&)> handler,
                wire::UnknownMembers unknown = wire::UnknownMembers::kIgnored) {
    actions_[{std::move(version), std::move(action)}] = {
        std::move(xml_namespace),
        [handler = std::move(handler), unknown](const wire::Form& form,
                                                const CallContext& context) -> Result<std::string> {
          TRY(Request request, wire::FromForm<Request>(form, unknown));
          TRY(Reply reply, handler(request, context));
          return wire::ToXml(reply);
        }};
  }

  // `form` is the body (wire::ParseForm), or the query of a GET. Blocks. The reply is complete, errors included.
  http::Response Call(const wire::Form& form, const CallContext& context) const;
  // The reply to a request that could not be parsed or verified.
  static http::Response Refuse(const Error& error, const CallContext& context);

 private:
  struct Action {
    std::string xml_namespace;
    std::function<Result<std::string>(const wire::Form&, const CallContext&)> run;
  };
  std::map<std::pair<std::string, std::string>, Action> actions_;  // by version and name
};

}  // namespace sagebrush::api
