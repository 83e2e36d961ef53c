#include "api/logs.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/hash.h"
#include "base/text.h"

namespace sagebrush::api {
namespace {

namespace model = gen::logs;

constexpr int64_t kHourMs = 3'600'000;
constexpr int64_t kDayMs = 24 * kHourMs;
constexpr int64_t kOldestMs = 14 * kDayMs;  // PutLogEvents: older events are rejected
constexpr int64_t kNewestMs = 2 * kHourMs;  // and those further in the future
constexpr size_t kLargestEventBytes = 1 << 20;
constexpr size_t kLargestBatchBytes = 1 << 20;
constexpr size_t kEventOverheadBytes = 26;
constexpr int64_t kJanuary2024Ms = 1'704'067'200'000;

Error Invalid(std::string message) { return InvalidArgument(std::move(message), "InvalidParameterException"); }

std::optional<std::string> UnlessEmpty(std::string text) {
  if (text.empty()) return std::nullopt;
  return text;
}

// A GetLogEvents token: direction and position, 56 digits wide as hosted ones are.
std::string EventToken(char direction, int64_t position) { return fmt::format("{}/{:056}", direction, position); }

Result<void> ReadEventToken(const std::string& token, logstore::GetRequest& request) {
  std::optional<int64_t> position;
  bool forward = token.starts_with("f/");
  if (forward || token.starts_with("b/")) position = ParseInt(std::string_view(token).substr(2));
  if (!position) return Fail(Invalid("The specified nextToken is invalid."));
  (forward ? request.forward_from : request.backward_from) = position;
  return {};
}

// Unique and stable: time, stream and position, 56 digits as hosted ids are. `aws logs tail` tells events apart by it.
std::string EventId(const logstore::LogEvent& event) {
  uint64_t stream = 0;
  for (unsigned char byte : Sha256(event.stream).substr(0, 8)) stream = stream << 8 | byte;
  return fmt::format("{:016}{:020}{:020}", event.timestamp_ms, stream, event.sequence);
}

Result<void> CheckBatch(const std::vector<model::InputLogEvent>& events) {
  size_t bytes = 0;
  for (size_t i = 0; i < events.size(); ++i) {
    size_t size = events[i].message.size() + kEventOverheadBytes;
    if (size > kLargestEventBytes) {
      return Fail(Invalid(fmt::format("Log event too large: {} bytes exceeds limit of {}", size, kLargestEventBytes)));
    }
    bytes += size;
    if (i > 0 && events[i].timestamp < events[i - 1].timestamp) {
      return Fail(Invalid("Log events in a single PutLogEvents request must be in chronological order."));
    }
  }
  if (bytes > kLargestBatchBytes) {
    return Fail(Invalid(fmt::format("Upload too large: {} bytes exceeds limit of {}", bytes, kLargestBatchBytes)));
  }
  if (!events.empty() && events.back().timestamp - events.front().timestamp > kDayMs) {
    return Fail(Invalid("The batch of log events in a single PutLogEvents request cannot span more than 24 hours."));
  }
  return {};
}

}  // namespace

void LogsApi::Register(JsonService& service) {
  auto add = [&]<class Request, class Reply>(const char* name, Result<Reply> (LogsApi::*handler)(const Request&)) {
    service.Register<Request, Reply>(
        name, [this, handler](const Request& request, const CallContext&) { return (this->*handler)(request); });
  };
  service.SetValidationCode("InvalidParameterException");
  add("CreateLogGroup", &LogsApi::CreateLogGroup);
  add("CreateLogStream", &LogsApi::CreateLogStream);
  add("PutLogEvents", &LogsApi::PutLogEvents);
  add("DescribeLogGroups", &LogsApi::DescribeLogGroups);
  add("DescribeLogStreams", &LogsApi::DescribeLogStreams);
  add("GetLogEvents", &LogsApi::GetLogEvents);
  add("FilterLogEvents", &LogsApi::FilterLogEvents);
}

std::string LogsApi::GroupArn(const std::string& group) const {
  return fmt::format("arn:aws:logs:{}:{}:log-group:{}", installation_.region, installation_.account, group);
}

Result<std::string> LogsApi::GroupFromIdentifier(const std::string& identifier) const {
  if (!identifier.starts_with("arn:")) return identifier;
  std::string prefix = GroupArn("");
  std::string name = identifier.starts_with(prefix) ? identifier.substr(prefix.size()) : "";
  if (name.ends_with(":*")) name.resize(name.size() - 2);
  // A group of another account or region is none of ours.
  if (name.empty() || name.contains(':')) {
    return Fail(NotFound("The specified log group does not exist.", "ResourceNotFoundException"));
  }
  return name;
}

Result<std::string> LogsApi::GroupOf(const std::optional<std::string>& name,
                                     const std::optional<std::string>& identifier) const {
  if (name.has_value() == identifier.has_value()) {
    return Fail(Invalid("Exactly one of logGroupName and logGroupIdentifier must be specified."));
  }
  return name ? Result<std::string>(*name) : GroupFromIdentifier(*identifier);
}

Result<model::CreateLogGroupResponse> LogsApi::CreateLogGroup(const model::CreateLogGroupRequest& request) {
  logstore::GroupOptions options;
  options.kms_key_id = request.kmsKeyId.value_or("");
  options.log_class = request.logGroupClass.value_or(options.log_class);
  options.deletion_protected = request.deletionProtectionEnabled.value_or(false);
  options.tags = request.tags;
  TRYV(store_.CreateGroup(request.logGroupName, options));
  return model::CreateLogGroupResponse{};
}

Result<model::CreateLogStreamResponse> LogsApi::CreateLogStream(const model::CreateLogStreamRequest& request) {
  TRYV(store_.CreateStream(request.logGroupName, request.logStreamName));
  return model::CreateLogStreamResponse{};
}

Result<model::PutLogEventsResponse> LogsApi::PutLogEvents(const model::PutLogEventsRequest& request) {
  TRYV(CheckBatch(request.logEvents));
  int64_t now_ms = clock_.NowMs();
  int64_t count = static_cast<int64_t>(request.logEvents.size()), first = 0, end = count;
  auto time_at = [&](int64_t index) { return request.logEvents[static_cast<size_t>(index)].timestamp; };
  while (first < count && time_at(first) < now_ms - kOldestMs) ++first;
  while (end > first && time_at(end - 1) > now_ms + kNewestMs) --end;

  std::vector<logstore::LogEvent> events;
  for (int64_t i = first; i < end; ++i) {
    events.push_back({time_at(i), request.logEvents[static_cast<size_t>(i)].message, 0, 0, {}});
  }
  TRYV(store_.Put(request.logGroupName, request.logStreamName, std::move(events)));

  model::PutLogEventsResponse reply;
  reply.nextSequenceToken = fmt::format("{:056}", now_ms);  // clients may send it back; no one reads it
  if (first > 0 || end < count) {
    model::RejectedLogEventsInfo& rejected = reply.rejectedLogEventsInfo.emplace();
    if (first > 0) rejected.tooOldLogEventEndIndex = first;
    if (end < count) rejected.tooNewLogEventStartIndex = end;
  }
  // Entities (related telemetry) are not kept, and the reply has a place to say so.
  if (request.entity) reply.rejectedEntityInfo = model::RejectedEntityInfo{"UnsupportedLogGroupType"};
  return reply;
}

Result<model::DescribeLogGroupsResponse> LogsApi::DescribeLogGroups(const model::DescribeLogGroupsRequest& request) {
  if (request.logGroupNamePrefix && request.logGroupNamePattern) {
    return Fail(Invalid("logGroupNamePrefix and logGroupNamePattern are mutually exclusive parameters."));
  }
  bool other_filter = request.logGroupNamePrefix || request.logGroupNamePattern || request.logGroupClass ||
                      !request.accountIdentifiers.empty();
  if (!request.logGroupIdentifiers.empty() && other_filter) {
    return Fail(Invalid("logGroupIdentifiers can be combined with no other filter than includeLinkedAccounts."));
  }
  model::DescribeLogGroupsResponse reply;
  // This installation is one account without linked ones: a search of other accounts finds nothing.
  const auto& accounts = request.accountIdentifiers;
  if (!accounts.empty() && std::ranges::find(accounts, installation_.account) == accounts.end()) return reply;

  logstore::ListGroupsRequest list;
  list.prefix = request.logGroupNamePrefix.value_or("");
  list.contains = request.logGroupNamePattern.value_or("");
  list.limit = static_cast<size_t>(request.limit.value_or(50));
  list.token = request.nextToken.value_or("");
  for (const std::string& identifier : request.logGroupIdentifiers) {
    Result<std::string> name = GroupFromIdentifier(identifier);
    if (name) list.names.push_back(*name);
  }
  if (!request.logGroupIdentifiers.empty() && list.names.empty()) return reply;
  if (request.logGroupClass) {
    bool cheap = *request.logGroupClass == "INFREQUENT_ACCESS" || *request.logGroupClass == "ESSENTIALS";
    list.log_classes = cheap ? std::vector<std::string>{"INFREQUENT_ACCESS", "ESSENTIALS"}
                             : std::vector<std::string>{*request.logGroupClass};
  }
  TRY(auto found, store_.ListGroups(list));
  for (const logstore::LogGroup& group : found.first) {
    model::LogGroup& out = reply.logGroups.emplace_back();
    out.logGroupName = group.name;
    out.creationTime = group.created_ms;
    out.arn = GroupArn(group.name) + ":*";
    if (request.logGroupNamePattern) continue;  // hosted says no more of groups found by a pattern
    out.logGroupArn = GroupArn(group.name);
    out.metricFilterCount = 0;
    out.storedBytes = group.stored_bytes;
    out.kmsKeyId = UnlessEmpty(group.options.kms_key_id);
    out.logGroupClass = group.options.log_class;
    out.deletionProtectionEnabled = group.options.deletion_protected;
  }
  reply.nextToken = UnlessEmpty(std::move(found.second));
  return reply;
}

Result<model::DescribeLogStreamsResponse> LogsApi::DescribeLogStreams(const model::DescribeLogStreamsRequest& request) {
  logstore::ListStreamsRequest list;
  TRY(list.group, GroupOf(request.logGroupName, request.logGroupIdentifier));
  list.by_last_event = request.orderBy == "LastEventTime";
  if (list.by_last_event && request.logStreamNamePrefix) {
    return Fail(Invalid("Cannot order by LastEventTime with a logStreamNamePrefix."));
  }
  list.prefix = request.logStreamNamePrefix.value_or("");
  list.descending = request.descending.value_or(false);
  list.limit = static_cast<size_t>(request.limit.value_or(50));
  list.token = request.nextToken.value_or("");
  TRY(auto found, store_.ListStreams(list));

  model::DescribeLogStreamsResponse reply;
  for (const logstore::LogStream& stream : found.first) {
    model::LogStream& out = reply.logStreams.emplace_back();
    out.logStreamName = stream.name;
    out.creationTime = stream.created_ms;
    out.firstEventTimestamp = stream.first_event_ms;
    out.lastEventTimestamp = stream.last_event_ms;
    out.lastIngestionTime = stream.last_ingestion_ms;
    out.uploadSequenceToken = fmt::format("{:056}", stream.events);
    out.arn = GroupArn(list.group) + ":log-stream:" + stream.name;
    out.storedBytes = 0;  // as hosted since 2019
  }
  // Only when more match than fit: the SDK asks again without the token, for ever, while it sees one.
  reply.nextToken = UnlessEmpty(std::move(found.second));
  return reply;
}

Result<model::GetLogEventsResponse> LogsApi::GetLogEvents(const model::GetLogEventsRequest& request) {
  logstore::GetRequest get;
  TRY(get.group, GroupOf(request.logGroupName, request.logGroupIdentifier));
  get.stream = request.logStreamName;
  get.start_ms = request.startTime;
  get.end_ms = request.endTime;
  get.limit = static_cast<size_t>(request.limit.value_or(10'000));
  get.from_head = request.startFromHead.value_or(false);
  if (request.nextToken) TRYV(ReadEventToken(*request.nextToken, get));
  TRY(logstore::Page page, store_.Get(get));

  model::GetLogEventsResponse reply;
  reply.events.reserve(page.events.size());
  for (logstore::LogEvent& event : page.events) {
    reply.events.push_back({event.timestamp_ms, std::move(event.message), event.ingestion_ms});
  }
  reply.nextForwardToken = EventToken('f', page.next);
  reply.nextBackwardToken = EventToken('b', page.first);
  return reply;
}

Result<model::FilterLogEventsResponse> LogsApi::FilterLogEvents(const model::FilterLogEventsRequest& request) {
  logstore::FilterRequest filter;
  TRY(filter.group, GroupOf(request.logGroupName, request.logGroupIdentifier));
  if (!request.logStreamNames.empty() && request.logStreamNamePrefix) {
    return Fail(Invalid("logStreamNames and logStreamNamePrefix are mutually exclusive parameters."));
  }
  filter.streams = request.logStreamNames;
  filter.stream_prefix = request.logStreamNamePrefix.value_or("");
  filter.start_ms = request.startTime;
  // Unlike GetLogEvents', this endTime is inclusive.
  if (request.endTime && *request.endTime < std::numeric_limits<int64_t>::max()) filter.end_ms = *request.endTime + 1;
  filter.pattern = request.filterPattern.value_or("");
  filter.descending = !request.startFromHead.value_or(true);
  if (filter.descending && request.startTime && *request.startTime < kJanuary2024Ms) {
    return Fail(Invalid("startFromHead can be false only with a startTime on or after January 1, 2024 00:00:00 UTC."));
  }
  filter.limit = static_cast<size_t>(request.limit.value_or(10'000));
  filter.token = request.nextToken.value_or("");
  TRY(logstore::FilterPage page, store_.Filter(filter));

  model::FilterLogEventsResponse reply;
  reply.events.reserve(page.events.size());
  for (logstore::LogEvent& event : page.events) {
    std::string id = EventId(event);
    reply.events.push_back(
        {std::move(event.stream), event.timestamp_ms, std::move(event.message), event.ingestion_ms, std::move(id)});
  }
  reply.nextToken = UnlessEmpty(std::move(page.token));
  return reply;
}

}  // namespace sagebrush::api
