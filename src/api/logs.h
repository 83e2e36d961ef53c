#pragma once

#include "api/call_context.h"
#include "api/json_service.h"
#include "base/clock.h"
#include "base/result.h"
#include "gen/logs.h"
#include "logstore/log_store.h"

namespace sagebrush::api {

// Amazon CloudWatch Logs (API 2014-03-28) over the log store: the operations that the SageMaker SDKs, boto3 and the
// AWS CLI use to follow a job. Stateless; the store and the clock outlive it. Handlers run on the blocking pool, many
// at once. What each request field does here and does not is in docs/compatibility.md.
class LogsApi {
 public:
  LogsApi(logstore::LogStore& store, const Clock& clock, Installation installation)
      : store_(store), clock_(clock), installation_(std::move(installation)) {}

  void Register(JsonService& service);

  Result<gen::logs::CreateLogGroupResponse> CreateLogGroup(const gen::logs::CreateLogGroupRequest& request);
  Result<gen::logs::CreateLogStreamResponse> CreateLogStream(const gen::logs::CreateLogStreamRequest& request);
  Result<gen::logs::PutLogEventsResponse> PutLogEvents(const gen::logs::PutLogEventsRequest& request);
  Result<gen::logs::DescribeLogGroupsResponse> DescribeLogGroups(const gen::logs::DescribeLogGroupsRequest& request);
  Result<gen::logs::DescribeLogStreamsResponse> DescribeLogStreams(const gen::logs::DescribeLogStreamsRequest& request);
  Result<gen::logs::GetLogEventsResponse> GetLogEvents(const gen::logs::GetLogEventsRequest& request);
  Result<gen::logs::FilterLogEventsResponse> FilterLogEvents(const gen::logs::FilterLogEventsRequest& request);

 private:
  std::string GroupArn(const std::string& group) const;
  // The group's name from a name or an ARN, with or without the trailing ":*".
  Result<std::string> GroupFromIdentifier(const std::string& identifier) const;
  // Exactly one of the two must be given.
  Result<std::string> GroupOf(const std::optional<std::string>& name,
                              const std::optional<std::string>& identifier) const;

  logstore::LogStore& store_;
  const Clock& clock_;
  const Installation installation_;
};

}  // namespace sagebrush::api
