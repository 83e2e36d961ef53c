#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "api/call_context.h"
#include "base/result.h"
#include "http/message.h"
#include "wire/json.h"

namespace sagebrush::api {

// One AWS service of the JSON 1.0/1.1 protocols: POST /, X-Amz-Target "<prefix>.<Operation>". Handlers are
// synchronous and run on the blocking pool; one validates nothing that the API model states (that has happened), and
// returns the reply or an Error. Register everything before the first Call.
class JsonService {
 public:
  // Reply bodies are application/x-amz-json-<version>.
  explicit JsonService(std::string_view json_version) : json_version_(json_version) {}
  JsonService(const JsonService&) = delete;  // the operations refer to it
  JsonService& operator=(const JsonService&) = delete;

  template <class Request, class Reply>
  void Register(std::string operation, std::function<Result<Reply>(const Request&, const CallContext&)> handler) {
    operations_[std::move(operation)] = [this, handler = std::move(handler)](
                                            std::string_view body, const CallContext& context) -> Result<std::string> {
      Result<Request> request = wire::FromJson<Request>(body, unknown_members_);
      if (!request && request.error().code == "ValidationException") request.error().code = validation_code_;
      if (!request) return Fail(std::move(request).error());
      TRY(Reply reply, handler(*request, context));
      return wire::ToJson(reply);
    };
  }

  // The code for a request that breaks the API model, where the service has one of its own.
  void SetValidationCode(std::string_view code) { validation_code_ = code; }

  // Members that the API model does not know are refused by name; otherwise they are ignored.
  void RefuseUnknownMembers() { unknown_members_ = wire::UnknownMembers::kRefused; }

  // The service once spoke the Query protocol, and its clients still look for that protocol's error codes: handlers
  // name those, replies carry them in x-amzn-query-error, and `exceptions` says what each is called in JSON.
  void SetQueryErrors(std::map<std::string, std::string, std::less<>> exceptions) {
    query_exceptions_ = std::move(exceptions);
  }

  // `operation` is the part of X-Amz-Target after the dot. Blocks. The reply is complete: errors included, in
  // the protocol's form, with x-amzn-RequestId.
  http::Response Call(std::string_view operation, std::string_view body, const CallContext& context) const;

 private:
  using Operation = std::function<Result<std::string>(std::string_view, const CallContext&)>;
  std::string json_version_;
  std::string validation_code_ = "ValidationException";
  wire::UnknownMembers unknown_members_ = wire::UnknownMembers::kIgnored;
  std::map<std::string, std::string, std::less<>> query_exceptions_;
  std::map<std::string, Operation, std::less<>> operations_;
};

}  // namespace sagebrush::api
