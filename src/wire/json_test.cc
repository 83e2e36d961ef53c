#include "wire/json.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "gen/iam.h"
#include "gen/logs.h"
#include "gen/sagemaker.h"
#include "gen/sts.h"
#include "wire/pattern.h"
#include "wire/validation.h"

namespace sagebrush::wire {
namespace {

using gen::sagemaker::CreateTrainingJobRequest;
using testing::HasSubstr;
using testing::Not;

// What sagemaker 2.257.7 sent for TensorFlow(…).fit(…), recorded.
constexpr char kRecorded[] =
    R"json({"AlgorithmSpecification": {"TrainingInputMode": "File", "TrainingImage": "763104351884.dkr.ecr.us-west-2.amazonaws.com/tensorflow-training:2.19-cpu-py312", "MetricDefinitions": [{"Name": "acc", "Regex": "accuracy: ([0-9.]+)"}], "EnableSageMakerMetricsTimeSeries": true}, "OutputDataConfig": {"S3OutputPath": "s3://digits-bucket/"}, "TrainingJobName": "digits-2026-01-31-12-34-56-789", "StoppingCondition": {"MaxRuntimeInSeconds": 86400}, "ResourceConfig": {"VolumeSizeInGB": 30, "InstanceCount": 1, "InstanceType": "ml.m5.large"}, "RoleArn": "arn:aws:iam::000000000000:role/SageMakerExecutionRole", "InputDataConfig": [{"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://digits-bucket/digits", "S3DataDistributionType": "FullyReplicated"}}, "ChannelName": "training"}, {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://digits-bucket/val", "S3DataDistributionType": "FullyReplicated"}}, "ChannelName": "validation"}], "HyperParameters": {"epochs": "5", "note": "\"na\\u00efve \\\"quoted\\\"\"", "sagemaker_program": "\"train.py\"", "sagemaker_container_log_level": "20", "sagemaker_region": "\"us-west-2\"", "model_dir": "\"s3://digits-bucket/digits-2026-01-31-12-34-56-789/model\""}, "Environment": {"TOKEN": "hunter2"}, "Tags": [{"Key": "team", "Value": "ml"}], "DebugHookConfig": {"S3OutputPath": "s3://digits-bucket/", "CollectionConfigurations": []}, "ProfilerConfig": {"S3OutputPath": "s3://digits-bucket/", "DisableProfiler": false}})json";

boost::json::object Recorded() { return boost::json::parse(kRecorded).as_object(); }

Error ErrorOf(const boost::json::object& body) {
  auto result = FromJson<CreateTrainingJobRequest>(boost::json::serialize(body));
  return result ? Internal("no error") : result.error();
}

TEST(FromJson, ReadsWhatTheRealSdkSends) {
  auto request = FromJson<CreateTrainingJobRequest>(kRecorded);
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(request->TrainingJobName, "digits-2026-01-31-12-34-56-789");
  EXPECT_EQ(request->AlgorithmSpecification->MetricDefinitions.at(0).Regex, "accuracy: ([0-9.]+)");
  EXPECT_EQ(request->AlgorithmSpecification->EnableSageMakerMetricsTimeSeries, true);
  EXPECT_EQ(request->ResourceConfig->InstanceCount, 1);
  EXPECT_EQ(request->ResourceConfig->InstanceType, "ml.m5.large");
  ASSERT_EQ(request->InputDataConfig.size(), 2u);
  EXPECT_EQ(request->InputDataConfig[1].ChannelName, "validation");
  EXPECT_EQ(request->InputDataConfig[1].DataSource.S3DataSource->S3Uri, "s3://digits-bucket/val");
  EXPECT_EQ(request->HyperParameters.at("note"), R"("na\u00efve \"quoted\"")");
  EXPECT_EQ(request->VpcConfig, std::nullopt);
  EXPECT_EQ(request->StoppingCondition->MaxRuntimeInSeconds, 86400);
}

TEST(FromJson, WritesBackTheSameValue) {
  auto request = FromJson<CreateTrainingJobRequest>(kRecorded);
  ASSERT_TRUE(request);
  auto again = FromJson<CreateTrainingJobRequest>(ToJson(*request));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*request, *again);
}

TEST(FromJson, MissingMembersAreAllReportedAtOnce) {
  EXPECT_EQ(ErrorOf({}).message,
            "3 validation errors detected: "
            "Value null at 'trainingJobName' failed to satisfy constraint: Member must not be null; "
            "Value null at 'roleArn' failed to satisfy constraint: Member must not be null; "
            "Value null at 'outputDataConfig' failed to satisfy constraint: Member must not be null");
  EXPECT_EQ(ErrorOf({}).code, "ValidationException");
  EXPECT_EQ(ErrorOf({}).kind, ErrorKind::kInvalidArgument);
}

TEST(FromJson, WordsOneViolationInTheSingular) {
  auto body = Recorded();
  body["TrainingJobName"] = "bad name";
  EXPECT_EQ(ErrorOf(body).message,
            "1 validation error detected: Value 'bad name' at 'trainingJobName' failed to satisfy constraint: Member "
            "must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}");
}

TEST(FromJson, ReportsEveryKindOfConstraint) {
  auto body = Recorded();
  body["TrainingJobName"] = std::string(64, 'a');
  body["ResourceConfig"].as_object()["InstanceType"] = "ml.none";
  body["StoppingCondition"].as_object()["MaxRuntimeInSeconds"] = 0;
  body["InputDataConfig"].as_array()[1].as_object()["ChannelName"] = nullptr;
  body["InputDataConfig"].as_array()[0].as_object()["ChannelName"] = "";
  body["HyperParameters"].as_object()["long"] = std::string(2501, 'x');
  std::string message = ErrorOf(body).message;
  EXPECT_THAT(message, HasSubstr("'trainingJobName' failed to satisfy constraint: Member must have length less than "
                                 "or equal to 63"));
  EXPECT_THAT(message, HasSubstr("Value 'ml.none' at 'resourceConfig.instanceType' failed to satisfy constraint: "
                                 "Member must satisfy enum value set: ["));
  EXPECT_THAT(message, HasSubstr("Value '0' at 'stoppingCondition.maxRuntimeInSeconds' failed to satisfy constraint: "
                                 "Member must have value greater than or equal to 1"));
  EXPECT_THAT(message, HasSubstr("Value null at 'inputDataConfig.2.member.channelName' failed to satisfy constraint: "
                                 "Member must not be null"));
  EXPECT_THAT(message, HasSubstr("Value '' at 'inputDataConfig.1.member.channelName' failed to satisfy constraint: "
                                 "Member must have length greater than or equal to 1"));
  EXPECT_THAT(message, HasSubstr("at 'hyperParameters' failed to satisfy constraint: Map value must satisfy "
                                 "constraint: [Member must have length less than or equal to 2500, Member must have "
                                 "length greater than or equal to 0, Member must satisfy regular expression pattern: "
                                 ".*]"));
}

TEST(FromJson, ScalarsInAListAreReportedForTheList) {
  auto body = Recorded();
  body["VpcConfig"] = {{"SecurityGroupIds", {"sg-1", "sg 2"}}, {"Subnets", boost::json::array()}};
  std::string message = ErrorOf(body).message;
  EXPECT_THAT(message, HasSubstr("Value '[sg-1, sg 2]' at 'vpcConfig.securityGroupIds' failed to satisfy constraint: "
                                 "Member must satisfy constraint: [Member must have length less than or equal to 32"));
  EXPECT_THAT(message, HasSubstr("at 'vpcConfig.subnets' failed to satisfy constraint: Member must have length "
                                 "greater than or equal to 1"));
}

TEST(FromJson, SensitiveValuesAreNeverShown) {
  auto body = Recorded();
  body["Environment"].as_object()["PASSWORD"] = "swordfish" + std::string(600, 'x');
  Error error = ErrorOf(body);
  EXPECT_THAT(error.message, HasSubstr("Value at 'environment' failed to satisfy constraint"));
  EXPECT_THAT(error.message, Not(HasSubstr("swordfish")));
  auto request = FromJson<CreateTrainingJobRequest>(kRecorded);
  ASSERT_TRUE(request);
  EXPECT_THAT(Redacted(*request), Not(HasSubstr("hunter2")));
  EXPECT_THAT(Redacted(*request), HasSubstr(R"("Environment":"***")"));
  EXPECT_THAT(ToJson(*request), HasSubstr("hunter2"));
}

TEST(FromJson, WrongTypesAreSerializationErrors) {
  auto with = [](std::string_view name, boost::json::value value) {
    auto body = Recorded();
    body[name] = std::move(value);
    return ErrorOf(body);
  };
  EXPECT_EQ(with("TrainingJobName", 5).message, "NUMBER_VALUE can not be converted to a String at 'trainingJobName'.");
  EXPECT_EQ(with("TrainingJobName", 5).code, "SerializationException");
  EXPECT_EQ(with("HyperParameters", {{"a", 1}}).code, "SerializationException");
  EXPECT_EQ(with("InputDataConfig", "x").code, "SerializationException");
  EXPECT_EQ(with("ResourceConfig", boost::json::array()).code, "SerializationException");
  EXPECT_EQ(with("EnableManagedSpotTraining", "true").code, "SerializationException");
  EXPECT_EQ(with("StoppingCondition", {{"MaxRuntimeInSeconds", 1.5}}).code, "SerializationException");
  EXPECT_EQ(with("StoppingCondition", {{"MaxRuntimeInSeconds", 3000000000}}).code, "SerializationException");
  EXPECT_EQ(with("StoppingCondition", {{"MaxRuntimeInSeconds", "5"}}).code, "SerializationException");
  EXPECT_EQ(with("StoppingCondition", {{"MaxRuntimeInSeconds", 60.0}}).message, "no error");
}

TEST(FromJson, GarbageIsASerializationError) {
  for (std::string text : {"{", "[]", "null", "\"a\"", "{} {}", "{\"TrainingJobName\":\"\xC3\x28\"}", "\xFF", "nan"}) {
    auto result = FromJson<gen::sagemaker::DescribeTrainingJobRequest>(text);
    ASSERT_FALSE(result) << text;
    EXPECT_EQ(result.error().code, "SerializationException") << text;
  }
  auto deep = FromJson<gen::sagemaker::DescribeTrainingJobRequest>("{\"x\":" + std::string(100000, '['));
  ASSERT_FALSE(deep);
  EXPECT_EQ(deep.error().code, "SerializationException");
}

TEST(FromJson, IgnoresUnknownMembersAndTakesAnEmptyBodyForAnObject) {
  auto request = FromJson<gen::sagemaker::DescribeTrainingJobRequest>(R"({"TrainingJobName":"a","New":{"x":[1]}})");
  ASSERT_TRUE(request);
  EXPECT_EQ(request->TrainingJobName, "a");
  EXPECT_TRUE(FromJson<gen::sagemaker::ListTrainingJobsRequest>(""));
}

TEST(FromJson, Timestamps) {
  auto request = FromJson<gen::sagemaker::ListTrainingJobsRequest>(R"({"CreationTimeAfter":1769862896.7895})");
  ASSERT_TRUE(request);
  EXPECT_EQ(request->CreationTimeAfter->ms, 1769862896790);
  EXPECT_EQ(ToJson(*request), R"({"CreationTimeAfter":1769862896.790})");
  EXPECT_FALSE(FromJson<gen::sagemaker::ListTrainingJobsRequest>(R"({"CreationTimeAfter":1e300})"));
  EXPECT_FALSE(FromJson<gen::sagemaker::ListTrainingJobsRequest>(R"({"CreationTimeAfter":"2026-01-31"})"));
}

TEST(ToJson, KeepsTheListsThatClientsLoopOver) {
  EXPECT_EQ(ToJson(gen::logs::GetLogEventsResponse{}), R"({"events":[]})");
  EXPECT_EQ(ToJson(gen::sagemaker::ListTrainingJobsResponse{}), R"({"TrainingJobSummaries":[]})");
  EXPECT_EQ(ToJson(gen::sagemaker::StopTrainingJobResponse{}), "{}");
  EXPECT_THAT(ToJson(gen::sagemaker::DescribeTrainingJobResponse{}), HasSubstr(R"("HyperParameters":{})"));
  gen::logs::OutputLogEvent event;
  event.message = "tab\t \"q\" \xE2\x82\xAC \x01";
  event.timestamp = 1769862896789;
  EXPECT_EQ(ToJson(event), "{\"timestamp\":1769862896789,\"message\":\"tab\\t \\\"q\\\" \xE2\x82\xAC \\u0001\"}");
}

TEST(Violations, AreCountedTrulyAndListedUpToALimit) {
  boost::json::array tags;
  for (int i = 0; i < 1000; ++i) tags.push_back({{"Key", "k"}});
  boost::json::object body = {{"ResourceArn", "arn:aws:sagemaker:us-west-2:000000000000:training-job/a"},
                              {"Tags", tags}};
  auto result = FromJson<gen::sagemaker::AddTagsInput>(boost::json::serialize(body));
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, testing::StartsWith("1001 validation errors detected: "));
  EXPECT_THAT(result.error().message, testing::EndsWith("; and 901 more"));
}

TEST(Pattern, MatchesTheWholeTextInBoundedTime) {
  EXPECT_TRUE(MatchesPattern("[a-z]+", "abc"));
  EXPECT_FALSE(MatchesPattern("[a-z]+", "abc\n"));
  EXPECT_FALSE(MatchesPattern("[a-z]+", "abcD"));
  EXPECT_FALSE(MatchesPattern("a|ab", "abc"));
  EXPECT_TRUE(MatchesPattern("a|ab", "ab"));
  EXPECT_TRUE(MatchesPattern("arn:[\\p{Alnum}\\-]+", "arn:a-1"));
  EXPECT_FALSE(MatchesPattern("(a*)*b", std::string(40, 'a')));  // exponential without a limit
  EXPECT_TRUE(MatchesPattern("([\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*)", "caf\xC3\xA9 1"));
}

void VisitPatterns(const Shape& shape, size_t& count) {
  if (!shape.pattern.empty()) {
    MatchesPattern(shape.pattern, "x");  // aborts when it does not compile
    ++count;
  }
  for (const Member& member : shape.members) VisitPatterns(*member.shape, count);
  if (shape.element != nullptr) VisitPatterns(*shape.element, count);
  if (shape.key != nullptr) VisitPatterns(*shape.key, count);
}

TEST(Pattern, EveryPatternOfTheModelsCompiles) {
  size_t count = 0;
  for (auto shapes :
       {gen::sagemaker::Structures(), gen::logs::Structures(), gen::sts::Structures(), gen::iam::Structures()}) {
    for (const Shape* shape : shapes) VisitPatterns(*shape, count);
  }
  EXPECT_GT(count, 100u);
}

TEST(FromJsonProperty, EveryStringSurvives) {
  EXPECT_TRUE(rc::check("hyperparameters round trip", [] {
    CreateTrainingJobRequest request = *FromJson<CreateTrainingJobRequest>(kRecorded);
    // Any code points but line feeds, which the model's `.*` refuses, in UTF-8 by way of JSON escapes.
    auto points = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0x20, 0xD800));
    std::string escaped;
    for (int point : points) escaped += fmt::format("\\u{:04x}", point);
    std::string value(boost::json::parse("\"" + escaped + "\"").as_string());
    RC_PRE(CountCodePoints(value) <= 2500u);
    RC_ASSERT(CountCodePoints(value) == points.size());
    request.HyperParameters["x"] = value;
    auto again = FromJson<CreateTrainingJobRequest>(ToJson(request));
    if (!again) RC_FAIL(again.error().message);
    RC_ASSERT(*again == request);
  }));
}

// A valid JSON document with one byte changed is read, or refused with one of the two codes.
TEST(FromJsonProperty, DamageIsRefusedCleanly) {
  EXPECT_TRUE(rc::check("one byte changed", [] {
    std::string text = kRecorded;
    text[*rc::gen::inRange<size_t>(0, text.size())] = *rc::gen::arbitrary<char>();
    auto result = FromJson<CreateTrainingJobRequest>(text);
    if (result) return;
    RC_ASSERT(result.error().kind == ErrorKind::kInvalidArgument);
    RC_ASSERT(result.error().code == "ValidationException" || result.error().code == "SerializationException");
  }));
}

TEST(ValidationProperty, LengthLimitsAreExact) {
  EXPECT_TRUE(rc::check("job name", [] {
    size_t length = *rc::gen::inRange<size_t>(0, 130);
    auto result = FromJson<gen::sagemaker::DescribeTrainingJobRequest>(
        fmt::format(R"({{"TrainingJobName":"{}"}})", std::string(length, 'a')));
    RC_ASSERT(result.has_value() == (length >= 1 && length <= 63));
  }));
}

}  // namespace
}  // namespace sagebrush::wire
