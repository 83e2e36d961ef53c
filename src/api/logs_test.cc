#include "api/logs.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/random.h"
#include "io/file.h"

namespace sagebrush::api {
namespace {

namespace model = gen::logs;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr int64_t kNow = 1'800'000'000'000;
constexpr int64_t kHour = 3'600'000;
constexpr const char* kArn = "arn:aws:logs:us-west-2:000000000000:log-group:g";

class LogsApiTest : public testing::Test {
 protected:
  LogsApiTest() : directory_(std::filesystem::temp_directory_path() / ("logsapi-" + RandomHex(8))) {
    store_ = std::move(logstore::LogStore::Open(directory_, clock_)).value();
    api_ = std::make_unique<LogsApi>(*store_, clock_, Installation{});
  }
  ~LogsApiTest() override {
    store_.reset();
    EXPECT_TRUE(io::RemoveTree(directory_));
  }

  void MakeStream(const std::string& stream) {
    static_cast<void>(api_->CreateLogGroup({.logGroupName = "g"}));
    ASSERT_TRUE(api_->CreateLogStream({"g", stream}));
  }
  void Put(const std::string& stream, std::vector<model::InputLogEvent> events) {
    auto reply = api_->PutLogEvents({.logGroupName = "g", .logStreamName = stream, .logEvents = std::move(events)});
    ASSERT_TRUE(reply) << reply.error().message;
    ASSERT_FALSE(reply->rejectedLogEventsInfo);
    ASSERT_NE(reply->nextSequenceToken.value_or(""), "");
  }
  template <class Reply>
  void ExpectCode(const Result<Reply>& reply, std::string_view code, std::string_view part) {
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().code, code);
    EXPECT_THAT(reply.error().message, testing::HasSubstr(std::string(part)));
  }
  static std::vector<std::string> Messages(const auto& events) {
    std::vector<std::string> out;
    for (const auto& event : events) out.push_back(event.message.value_or(""));
    return out;
  }

  std::filesystem::path directory_;
  ManualClock clock_{kNow};
  std::unique_ptr<logstore::LogStore> store_;
  std::unique_ptr<LogsApi> api_;
};

// What sagemaker 2.x does for fit(wait=True): start inclusive, then token after token until a page is empty.
TEST_F(LogsApiTest, FollowingAStreamAsTheSdkDoes) {
  MakeStream("s");
  Put("s", {{kNow, "a"}, {kNow, "b"}, {kNow + 1, "c"}});
  model::GetLogEventsRequest get{
      .logGroupName = "g", .logStreamName = "s", .startTime = kNow, .limit = 2, .startFromHead = true};
  auto page = api_->GetLogEvents(get);
  ASSERT_TRUE(page);
  EXPECT_THAT(Messages(page->events), ElementsAre("a", "b"));
  get.nextToken = page->nextForwardToken;
  page = api_->GetLogEvents(get);
  EXPECT_THAT(Messages(page->events), ElementsAre("c"));
  EXPECT_EQ(page->events[0].timestamp, kNow + 1);
  EXPECT_EQ(page->events[0].ingestionTime, kNow);
  get.nextToken = page->nextForwardToken;
  page = api_->GetLogEvents(get);
  EXPECT_THAT(page->events, IsEmpty());
  EXPECT_EQ(page->nextForwardToken, get.nextToken);  // nothing newer: the same token again
  EXPECT_THAT(*get.nextToken, testing::MatchesRegex("f/[0-9]+"));

  Put("s", {{kNow + 1, "d"}});
  page = api_->GetLogEvents(get);
  EXPECT_THAT(Messages(page->events), ElementsAre("d"));
}

TEST_F(LogsApiTest, TheTailComesFirstWithoutStartFromHeadAndBackwardTokensLeadToTheHead) {
  MakeStream("s");
  Put("s", {{kNow, "a"}, {kNow, "b"}, {kNow, "c"}});
  model::GetLogEventsRequest get{.logGroupIdentifier = kArn, .logStreamName = "s", .limit = 2};
  auto page = api_->GetLogEvents(get);
  ASSERT_TRUE(page);
  EXPECT_THAT(Messages(page->events), ElementsAre("b", "c"));
  get.nextToken = page->nextBackwardToken;
  page = api_->GetLogEvents(get);
  EXPECT_THAT(Messages(page->events), ElementsAre("a"));
  get.nextToken = page->nextBackwardToken;
  page = api_->GetLogEvents(get);
  EXPECT_THAT(page->events, IsEmpty());
  EXPECT_EQ(page->nextBackwardToken, get.nextToken);
  for (const char* token : {"x/1", "f/", "f/-1", "f/9x", "1"}) {
    get.nextToken = token;
    ExpectCode(api_->GetLogEvents(get), "InvalidParameterException", "nextToken is invalid");
  }
}

TEST_F(LogsApiTest, AGroupIsNamedByNameOrByArnAndNotByBoth) {
  MakeStream("s");
  for (std::string identifier : {std::string("g"), std::string(kArn), std::string(kArn) + ":*"}) {
    EXPECT_TRUE(api_->GetLogEvents({.logGroupIdentifier = identifier, .logStreamName = "s"})) << identifier;
  }
  ExpectCode(api_->GetLogEvents({.logGroupName = "g", .logGroupIdentifier = "g", .logStreamName = "s"}),
             "InvalidParameterException", "Exactly one");
  ExpectCode(api_->FilterLogEvents({}), "InvalidParameterException", "Exactly one");
  ExpectCode(api_->DescribeLogStreams({}), "InvalidParameterException", "Exactly one");
  ExpectCode(api_->GetLogEvents(
                 {.logGroupIdentifier = "arn:aws:logs:us-west-2:111111111111:log-group:g", .logStreamName = "s"}),
             "ResourceNotFoundException", "The specified log group does not exist.");
  ExpectCode(api_->GetLogEvents({.logGroupName = "g", .logStreamName = "t"}), "ResourceNotFoundException",
             "The specified log stream does not exist.");
  ExpectCode(api_->CreateLogStream({"g", "s"}), "ResourceAlreadyExistsException", "log stream");
  ExpectCode(api_->CreateLogGroup({.logGroupName = "g"}), "ResourceAlreadyExistsException", "log group");
}

TEST_F(LogsApiTest, StreamsThatFitInTheLimitCarryNoToken) {
  for (const char* stream : {"job/algo-1-5", "job/algo-2-5", "other/algo-1-5"}) MakeStream(stream);
  Put("job/algo-2-5", {{kNow, "a"}});
  model::DescribeLogStreamsRequest request{
      .logGroupName = "g", .logStreamNamePrefix = "job/", .orderBy = "LogStreamName", .limit = 2};
  auto reply = api_->DescribeLogStreams(request);
  ASSERT_TRUE(reply);
  ASSERT_THAT(reply->logStreams, SizeIs(2));
  EXPECT_EQ(reply->nextToken, std::nullopt);
  EXPECT_EQ(reply->logStreams[0].firstEventTimestamp, std::nullopt);
  EXPECT_EQ(reply->logStreams[1].firstEventTimestamp, kNow);
  EXPECT_EQ(reply->logStreams[1].arn, std::string(kArn) + ":log-stream:job/algo-2-5");
  request.limit = 1;
  reply = api_->DescribeLogStreams(request);
  ASSERT_TRUE(reply->nextToken);
  request.nextToken = reply->nextToken;
  reply = api_->DescribeLogStreams(request);
  EXPECT_EQ(reply->logStreams.at(0).logStreamName, "job/algo-2-5");
  EXPECT_EQ(reply->nextToken, std::nullopt);

  auto latest = api_->DescribeLogStreams({.logGroupName = "g", .orderBy = "LastEventTime", .descending = true});
  EXPECT_EQ(latest->logStreams.at(0).logStreamName, "job/algo-2-5");
  ExpectCode(api_->DescribeLogStreams({.logGroupName = "g", .logStreamNamePrefix = "j", .orderBy = "LastEventTime"}),
             "InvalidParameterException", "LastEventTime");
}

TEST_F(LogsApiTest, PutRejectsEventsOutsideTheTimesItTakesAndKeepsTheRest) {
  MakeStream("s");
  auto put = [&](std::vector<model::InputLogEvent> events) {
    return api_->PutLogEvents({.logGroupName = "g", .logStreamName = "s", .logEvents = std::move(events)});
  };
  auto reply =
      put({{kNow - 14 * 24 * kHour - 2, "old"}, {kNow - 14 * 24 * kHour - 1, "old"}, {kNow - 14 * 24 * kHour, "kept"}});
  ASSERT_TRUE(reply);
  ASSERT_TRUE(reply->rejectedLogEventsInfo);
  EXPECT_EQ(reply->rejectedLogEventsInfo->tooOldLogEventEndIndex, 2);
  EXPECT_EQ(reply->rejectedLogEventsInfo->tooNewLogEventStartIndex, std::nullopt);
  reply = put({{kNow + 2 * kHour, "kept too"}, {kNow + 2 * kHour + 1, "new"}});
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->rejectedLogEventsInfo.value().tooNewLogEventStartIndex, 1);
  EXPECT_EQ(reply->rejectedLogEventsInfo.value().tooOldLogEventEndIndex, std::nullopt);
  EXPECT_THAT(Messages(api_->GetLogEvents({.logGroupName = "g", .logStreamName = "s"})->events),
              ElementsAre("kept", "kept too"));

  ExpectCode(put({{kNow, "b"}, {kNow - 1, "a"}}), "InvalidParameterException", "chronological order");
  ExpectCode(put({{kNow - 25 * kHour, "a"}, {kNow, "b"}}), "InvalidParameterException", "24 hours");
  ExpectCode(put({{kNow, std::string(1 << 20, 'x')}}), "InvalidParameterException", "Log event too large");
  ExpectCode(put({{kNow, std::string(600'000, 'x')}, {kNow, std::string(600'000, 'x')}}), "InvalidParameterException",
             "Upload too large");
  auto entity = api_->PutLogEvents({.logGroupName = "g",
                                    .logStreamName = "s",
                                    .logEvents = {{kNow, "e"}},
                                    .sequenceToken = "any",
                                    .entity = model::Entity{}});
  ASSERT_TRUE(entity);
  EXPECT_EQ(entity->rejectedEntityInfo.value().errorType, "UnsupportedLogGroupType");
  ExpectCode(api_->PutLogEvents({.logGroupName = "g", .logStreamName = "none", .logEvents = {{1, "too old"}}}),
             "ResourceNotFoundException", "log stream");
}

TEST_F(LogsApiTest, FilterMergesStreamsWithDistinctIdsAndAnInclusiveEnd) {
  MakeStream("v/1");
  MakeStream("v/2");
  Put("v/1", {{kNow, "loss 1"}, {kNow + 2, "loss 3"}, {kNow + 3, "loss 4"}});
  Put("v/2", {{kNow, "noise"}, {kNow + 1, "loss 2"}});
  model::FilterLogEventsRequest request{.logGroupName = "g",
                                        .logStreamNamePrefix = "v/",
                                        .startTime = kNow,
                                        .endTime = kNow + 2,
                                        .filterPattern = "loss",
                                        .limit = 2,
                                        .interleaved = true};
  auto first = api_->FilterLogEvents(request);
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_THAT(Messages(first->events), ElementsAre("loss 1", "loss 2"));
  EXPECT_THAT(first->searchedLogStreams, IsEmpty());
  ASSERT_TRUE(first->nextToken);
  request.nextToken = first->nextToken;
  auto second = api_->FilterLogEvents(request);
  EXPECT_THAT(Messages(second->events), ElementsAre("loss 3"));
  EXPECT_EQ(second->nextToken, std::nullopt);
  EXPECT_EQ(second->events[0].logStreamName, "v/1");
  std::set<std::string> ids{*first->events[0].eventId, *first->events[1].eventId, *second->events[0].eventId};
  EXPECT_THAT(ids, SizeIs(3));

  request.nextToken.reset();
  request.startFromHead = false;
  EXPECT_THAT(Messages(api_->FilterLogEvents(request)->events), ElementsAre("loss 3", "loss 2"));
  request.startTime = 5;
  ExpectCode(api_->FilterLogEvents(request), "InvalidParameterException", "startFromHead");
  ExpectCode(api_->FilterLogEvents({.logGroupName = "g", .logStreamNames = {"v/1"}, .logStreamNamePrefix = "v"}),
             "InvalidParameterException", "mutually exclusive");
  ExpectCode(api_->FilterLogEvents({.logGroupName = "g", .filterPattern = "{ $.a = 1 }"}), "InvalidParameterException",
             "not supported");
}

TEST_F(LogsApiTest, GroupsShowWhatTheyWereMadeWith) {
  ASSERT_TRUE(api_->CreateLogGroup({.logGroupName = "g",
                                    .kmsKeyId = "key",
                                    .tags = {{"team", "ml"}},
                                    .logGroupClass = "ESSENTIALS",
                                    .deletionProtectionEnabled = true}));
  ASSERT_TRUE(api_->CreateLogGroup({.logGroupName = "/aws/sagemaker/TrainingJobs"}));
  auto reply = api_->DescribeLogGroups({.logGroupIdentifiers = {kArn, "absent"}});
  ASSERT_TRUE(reply);
  ASSERT_THAT(reply->logGroups, SizeIs(1));
  const model::LogGroup& group = reply->logGroups[0];
  EXPECT_EQ(group.logGroupArn, kArn);
  EXPECT_EQ(group.arn, std::string(kArn) + ":*");
  EXPECT_EQ(group.kmsKeyId, "key");
  EXPECT_EQ(group.logGroupClass, "ESSENTIALS");
  EXPECT_EQ(group.deletionProtectionEnabled, true);
  EXPECT_EQ(group.creationTime, kNow);

  auto names = [&](const model::DescribeLogGroupsRequest& request) {
    std::vector<std::string> out;
    auto found = api_->DescribeLogGroups(request);
    EXPECT_TRUE(found);
    for (const model::LogGroup& one : found->logGroups) out.push_back(*one.logGroupName);
    return out;
  };
  EXPECT_THAT(names({}), ElementsAre("/aws/sagemaker/TrainingJobs", "g"));
  EXPECT_THAT(names({.logGroupNamePrefix = "/aws"}), ElementsAre("/aws/sagemaker/TrainingJobs"));
  EXPECT_THAT(names({.logGroupNamePattern = "Train"}), ElementsAre("/aws/sagemaker/TrainingJobs"));
  EXPECT_THAT(names({.logGroupClass = "INFREQUENT_ACCESS"}), ElementsAre("g"));
  EXPECT_THAT(names({.accountIdentifiers = {"111111111111"}, .includeLinkedAccounts = true}), IsEmpty());
  EXPECT_THAT(names({.logGroupIdentifiers = {"absent"}}), ElementsAre());
  ExpectCode(api_->DescribeLogGroups({.logGroupNamePrefix = "a", .logGroupNamePattern = "b"}),
             "InvalidParameterException", "mutually exclusive");
  ExpectCode(api_->DescribeLogGroups({.logGroupNamePrefix = "a", .logGroupIdentifiers = {"b"}}),
             "InvalidParameterException", "logGroupIdentifiers");
}

TEST_F(LogsApiTest, TheServiceAnswersItsOperationsInTheProtocolsForm) {
  JsonService service("1.1");
  api_->Register(service);
  auto call = [&](std::string_view operation, std::string_view body) {
    http::Response response = service.Call(operation, body, {});
    return std::pair(response.status, std::get<std::string>(response.body));
  };
  EXPECT_EQ(call("CreateLogGroup", R"({"logGroupName": "g"})").first, 200);
  EXPECT_EQ(call("CreateLogStream", R"({"logGroupName": "g", "logStreamName": "s"})").first, 200);
  auto put = call("PutLogEvents", fmt::format(R"({{"logGroupName": "g", "logStreamName": "s",
                                              "logEvents": [{{"timestamp": {}, "message": "hi"}}]}})",
                                              kNow));
  EXPECT_EQ(put.first, 200) << put.second;
  auto get = call("GetLogEvents", R"({"logGroupName": "g", "logStreamName": "s", "startTime": 1})");
  EXPECT_THAT(get.second, testing::HasSubstr(R"("message":"hi")"));
  for (const char* operation : {"DescribeLogGroups", "DescribeLogStreams", "FilterLogEvents"}) {
    auto reply =
        call(operation, std::string_view(operation) == "DescribeLogGroups" ? "{}" : R"({"logGroupName": "g"})");
    EXPECT_EQ(reply.first, 200) << reply.second;
  }
  auto invalid = call("GetLogEvents", R"({"logGroupName": "g", "logStreamName": "s", "limit": 10001})");
  EXPECT_EQ(invalid.first, 400);
  EXPECT_THAT(invalid.second, testing::HasSubstr("InvalidParameterException"));
  auto missing = call("GetLogEvents", R"({"logGroupName": "g", "logStreamName": "none"})");
  EXPECT_EQ(missing.first, 400);
  EXPECT_THAT(missing.second, testing::HasSubstr("ResourceNotFoundException"));
}

}  // namespace
}  // namespace sagebrush::api
