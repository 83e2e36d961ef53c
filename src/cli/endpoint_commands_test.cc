#include "cli/endpoint_commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "cli/command_testing.h"

namespace sagebrush::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Steps;

class EndpointCommands : public testing::CommandTest {
 protected:
  int Logs(const std::string& name, EndpointLogsOptions options = {}, Steps steps = {}) {
    return Run([&](CommandContext& context) { return PrintEndpointLogs(context, name, options); }, std::move(steps));
  }
};

TEST_F(EndpointCommands, ListsTheNewestFirst) {
  engine_.AddEndpoint("old");
  engine_.AddEndpoint("new", "Updating");
  EXPECT_EQ(Run([](CommandContext& c) { return ListEndpoints(c, {}, false); }), 0);
  EXPECT_THAT(Out(), AllOf(HasSubstr("NAME  STATUS     INSTANCES  CONFIG"), HasSubstr("new   Updating   1 of 2"),
                           HasSubstr("old-config")));
  EXPECT_LT(Out().find("new "), Out().find("old "));
  EXPECT_EQ(Run([](CommandContext& c) { return ListEndpoints(c, {.status = "InService", .name_contains = {}}, true); }),
            0);
  auto listed = boost::json::parse(Out());
  ASSERT_EQ(listed.as_array().size(), 1u);
  EXPECT_EQ(listed.at(0).at("EndpointName").as_string(), "old");
  EXPECT_EQ(Run([](CommandContext& c) { return ListEndpoints(c, {.status = "Failed", .name_contains = {}}, false); }),
            0);
  EXPECT_THAT(Err(), HasSubstr("No endpoint matches"));
}

TEST_F(EndpointCommands, DescribesOneAndSuggestsForNone) {
  engine_.AddEndpoint("digits", "Failed").FailureReason = "no \x1b[2J model";
  EXPECT_EQ(Run([](CommandContext& c) { return DescribeEndpoint(c, "digits", false); }), 0);
  EXPECT_THAT(Out(), AllOf(HasSubstr("Status   Failed"), Not(HasSubstr("\x1b")), HasSubstr("digits-config"),
                           HasSubstr("Variants\n  AllTraffic  1 of 2 instances, weight 1, tensorflow-inference:2.19")));
  EXPECT_EQ(Run([](CommandContext& c) { return DescribeEndpoint(c, "digit", false); }), 2);
  EXPECT_THAT(Err(), AllOf(HasSubstr("no endpoint named digit"), HasSubstr("Did you mean:\n  digits\n")));
}

TEST_F(EndpointCommands, LogsFollowUntilTheEndpointIsGone) {
  engine_.AddEndpoint("digits");
  engine_.PrintOfInstance("digits", "i-01", 1, "one");
  EXPECT_EQ(Logs("digits"), 0);
  EXPECT_EQ(Out(), "i-01 | one\n");
  int code = Logs("digits", {.instances = false, .follow = true},
                  {[&] { engine_.PrintOfInstance("digits", "i-02", 2, "two"); }, [&] { engine_.Down(); }, [] {},
                   [&] { engine_.Up(); },
                   [&] {
                     engine_.PrintOfInstance("digits", "i-02", 3, "last words");
                     engine_.RemoveEndpoint("digits");
                   }});
  EXPECT_EQ(code, 0);
  EXPECT_EQ(Out(), "one\ntwo\nlast words\n");
  EXPECT_THAT(Err(), AllOf(HasSubstr("does not answer"), HasSubstr("the engine is back")));
  EXPECT_EQ(Err().find("does not answer"), Err().rfind("does not answer"));
  EXPECT_EQ(Logs("digits"), 0) << "its log outlives it";
  EXPECT_EQ(Logs("other"), 2);
  engine_.AddEndpoint("other");
  EXPECT_EQ(Logs("other", {.follow = true}), 130);
}

TEST_F(EndpointCommands, InvokePrintsTheAnswerAsItIs) {
  engine_.AddEndpoint("digits");
  client::Invocation invocation{
      .endpoint = "digits", .content_type = "text/csv", .accept = {}, .variant = {}, .body = "1,2"};
  EXPECT_EQ(Run([&](CommandContext& c) { return InvokeEndpoint(c, invocation); }), 0);
  EXPECT_EQ(Out(), "1,2");
  EXPECT_EQ(engine_.invocations.at(0).content_type, "text/csv");
  invocation.endpoint = "other";
  EXPECT_EQ(Run([&](CommandContext& c) { return InvokeEndpoint(c, invocation); }), 5);
}

TEST_F(EndpointCommands, DeleteWaitsUntilItIsGone) {
  engine_.AddEndpoint("digits");
  EXPECT_EQ(Run([](CommandContext& c) { return DeleteEndpoint(c, "digits", false); }), 0);
  EXPECT_EQ(Run([](CommandContext& c) { return DeleteEndpoint(c, "digits", true); },
                {[] {}, [&] { engine_.RemoveEndpoint("digits"); }}),
            0);
  EXPECT_EQ(Run([](CommandContext& c) { return DeleteEndpoint(c, "digits", true); }), 2);
  engine_.AddEndpoint("slow");
  EXPECT_EQ(Run([](CommandContext& c) { return DeleteEndpoint(c, "slow", true); }, {[] {}}), 130);
}

}  // namespace
}  // namespace sagebrush::cli
