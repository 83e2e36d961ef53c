#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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

// The names that a List operation gives, newest first, page by page. `entries` and `name` are the members of the reply
// and of its entries that hold them.
template <class Request, class Reply, class Entry>
Result<std::vector<std::string>> ListNames(Transport& transport, std::string_view operation, const ListQuery& query,
                                           std::vector<Entry> Reply::* entries, std::string Entry::* name) {
  constexpr int64_t kPageSize = 100;
  Request request{.SortBy = "CreationTime", .SortOrder = "Descending"};
  if (!query.status.empty()) request.StatusEquals = query.status;
  if (!query.name_contains.empty()) request.NameContains = query.name_contains;
  std::vector<std::string> names;
  while (names.size() < query.limit) {
    request.MaxResults = std::min<int64_t>(kPageSize, static_cast<int64_t>(query.limit - names.size()));
    TRY(std::string body, CallSageMaker(transport, operation, request));
    TRY(Reply reply, ReadReply<Reply>(body));
    for (Entry& entry : reply.*entries) names.push_back(std::move(entry.*name));
    if (!reply.NextToken || reply.NextToken->empty()) break;
    request.NextToken = std::move(reply.NextToken);
  }
  return names;
}

template <class Reply, class Request>
Result<Reply> CallLogs(Transport& transport, std::string_view name, const Request& request) {
  TRY(std::string body, transport.CallJson({"logs", "Logs_20140328", name}, wire::ToJson(request)));
  return ReadReply<Reply>(body);
}

}  // namespace sagebrush::client
