#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "client/transport.h"
#include "wire/json.h"

namespace sagebrush::client {

// The reply of an operation. The model's constraints are about requests (a reply may hold the empty list that a request
// may not), so only a wrong type makes a reply unreadable; wire::ReadJson has filled the structure when it reports
// constraints.
template <class Reply>
Result<Reply> ReadReply(std::string_view body) {
  Reply reply;
  auto read = wire::ReadJson(ShapeOf(static_cast<const Reply*>(nullptr)), body, &reply);
  if (read || read.error().code == "ValidationException") return reply;
  return Fail(Error(ErrorKind::kInternal, "The engine's reply cannot be read: " + read.error().message));
}

template <class Request>
Result<std::string> CallSageMaker(Transport& transport, std::string_view name, const Request& request) {
  return transport.CallJson({"sagemaker", "SageMaker", name}, wire::ToJson(request));
}

template <class Reply, class Request>
Result<Reply> CallLogs(Transport& transport, std::string_view name, const Request& request) {
  TRY(std::string body, transport.CallJson({"logs", "Logs_20140328", name}, wire::ToJson(request)));
  return ReadReply<Reply>(body);
}

}  // namespace sagebrush::client
