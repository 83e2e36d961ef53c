#include "client/logs.h"

#include <utility>

#include "client/calls.h"
#include "gen/logs.h"

namespace sagebrush::client {

namespace cw = gen::logs;

Result<std::vector<std::string>> ListLogStreams(Transport& transport, const LogSource& source) {
  cw::DescribeLogStreamsRequest request{.logGroupName = source.group, .orderBy = "LogStreamName"};
  if (!source.stream_prefix.empty()) request.logStreamNamePrefix = source.stream_prefix;
  std::vector<std::string> names;
  while (true) {
    auto reply = CallLogs<cw::DescribeLogStreamsResponse>(transport, "DescribeLogStreams", request);
    if (!reply && reply.error().code == "ResourceNotFoundException") return names;
    if (!reply) return Fail(std::move(reply).error());
    for (cw::LogStream& stream : reply->logStreams) names.push_back(std::move(stream.logStreamName).value_or(""));
    if (!reply->nextToken || reply->nextToken->empty()) return names;
    request.nextToken = std::move(reply->nextToken);
  }
}

Result<LogPage> ReadLog(Transport& transport, const std::string& group, std::string_view stream, std::string_view token,
                        std::optional<int64_t> since_ms) {
  cw::GetLogEventsRequest request{
      .logGroupName = group, .logStreamName = std::string(stream), .startTime = since_ms, .startFromHead = true};
  if (!token.empty()) request.nextToken = std::string(token);
  TRY(auto reply, CallLogs<cw::GetLogEventsResponse>(transport, "GetLogEvents", request));
  LogPage page{.events = {}, .forward_token = std::move(reply.nextForwardToken).value_or(std::string(token))};
  page.events.reserve(reply.events.size());
  for (cw::OutputLogEvent& event : reply.events) {
    page.events.push_back(
        {.timestamp_ms = event.timestamp.value_or(0), .message = std::move(event.message).value_or("")});
  }
  return page;
}

}  // namespace sagebrush::client
