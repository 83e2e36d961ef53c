#include "cli/env_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "cli/testing.h"
#include "io/subprocess.h"

namespace sagebrush::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::FixedEnvironment;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

client::Target TestTarget() {
  return {.endpoint = "http://127.0.0.1:8770",
          .credentials = {.access_key = "AKIAEXAMPLE", .secret = "se'cr$(et)/+=", .session_token = ""},
          .region = "eu-west-1"};
}

std::optional<std::string> ValueOf(const EnvironmentPlan& plan, const std::string& name) {
  for (const auto& [key, value] : plan.settings) {
    if (key == name) return value;
  }
  return "(not named)";
}

// What a shell with `before` has after it ran `lines`.
std::string InShell(const std::string& before, const std::string& lines, const std::string& print) {
  auto outcome = io::Run({.argv = {"env", "-i", "PATH=/usr/bin:/bin", "sh", "-euc",
                                   before + "\neval \"$1\"\nset +u\n" + print, "sh", lines}});
  EXPECT_TRUE(outcome);
  EXPECT_EQ(outcome->exit_code, 0) << outcome->output;
  return outcome->output;
}

TEST(PlanEnvironment, SetsAllThatTheSdksRead) {
  EnvironmentPlan plan = PlanEnvironment(TestTarget(), "/data/ca/bundle.pem", FixedEnvironment({}));
  EXPECT_EQ(ValueOf(plan, "AWS_ENDPOINT_URL"), "http://127.0.0.1:8770");
  EXPECT_EQ(ValueOf(plan, "AWS_ACCESS_KEY_ID"), "AKIAEXAMPLE");
  EXPECT_EQ(ValueOf(plan, "AWS_DEFAULT_REGION"), "eu-west-1");
  EXPECT_EQ(ValueOf(plan, "AWS_REGION"), "eu-west-1");
  EXPECT_EQ(ValueOf(plan, "AWS_EC2_METADATA_DISABLED"), "true");
  EXPECT_EQ(ValueOf(plan, "HTTPS_PROXY"), "http://127.0.0.1:8770");
  EXPECT_EQ(ValueOf(plan, "https_proxy"), "http://127.0.0.1:8770");
  EXPECT_EQ(ValueOf(plan, "NO_PROXY"), "127.0.0.1,localhost");
  EXPECT_EQ(ValueOf(plan, "AWS_CA_BUNDLE"), "/data/ca/bundle.pem");
  EXPECT_EQ(ValueOf(plan, "REQUESTS_CA_BUNDLE"), "/data/ca/bundle.pem");
  EXPECT_EQ(ValueOf(plan, "AWS_SESSION_TOKEN"), std::nullopt);
  EXPECT_EQ(ValueOf(plan, "AWS_PROFILE"), std::nullopt);
  EXPECT_EQ(ValueOf(plan, "SSL_CERT_FILE"), "(not named)");
  EXPECT_THAT(plan.notes, IsEmpty());
}

TEST(PlanEnvironment, SurvivesEvalByteForByte) {
  std::string lines = ShellLines(PlanEnvironment(TestTarget(), "/data dir/it's/b.pem", FixedEnvironment({})));
  EXPECT_EQ(
      InShell("AWS_PROFILE=p", lines, R"(printf '%s|%s|%s' "$AWS_SECRET_ACCESS_KEY" "$AWS_CA_BUNDLE" "$AWS_PROFILE")"),
      "se'cr$(et)/+=|/data dir/it's/b.pem|");
}

TEST(PlanEnvironment, AProxyOfTheUsersIsNamedWithoutItsPasswordAndComesBack) {
  auto before = FixedEnvironment({{"HTTPS_PROXY", "http://me:pw@corp:3128"}, {"no_proxy", "intra.example"}});
  EnvironmentPlan plan = PlanEnvironment(TestTarget(), "/b.pem", before);
  EXPECT_THAT(plan.notes, ElementsAre(AllOf(HasSubstr("http://***@corp:3128"), Not(HasSubstr("pw@")))));
  EXPECT_EQ(ValueOf(plan, "NO_PROXY"), "127.0.0.1,localhost,intra.example");

  EnvironmentPlan back = PlanUnset(FixedEnvironment(
      {{"SAGEBRUSH_SAVED_HTTPS_PROXY", "http://me:pw@corp:3128"}, {"SAGEBRUSH_SAVED_no_proxy", "intra.example"}}));
  EXPECT_EQ(
      InShell(ShellLines(plan), ShellLines(back),
              R"(printf '%s|%s|%s|%s|%s' "$HTTPS_PROXY" "$https_proxy" "$no_proxy" "$NO_PROXY" "$AWS_ENDPOINT_URL")"),
      "http://me:pw@corp:3128||intra.example||");
}

TEST(PlanEnvironment, ASecondTimeKeepsWhatTheFirstSaved) {
  auto again = FixedEnvironment({{"HTTPS_PROXY", "http://127.0.0.1:8770"},
                                 {"NO_PROXY", "127.0.0.1,localhost"},
                                 {"SAGEBRUSH_SAVED_HTTPS_PROXY", "http://corp:3128"}});
  EnvironmentPlan plan = PlanEnvironment(TestTarget(), "/b.pem", again);
  EXPECT_EQ(ValueOf(plan, "SAGEBRUSH_SAVED_HTTPS_PROXY"), "(not named)");
  EXPECT_EQ(ValueOf(plan, "NO_PROXY"), "127.0.0.1,localhost");
  EXPECT_THAT(plan.notes, IsEmpty());
}

TEST(PlanEnvironment, NoProxyEntriesThatWouldBypassTheEngineAreLeftOutAndSaid) {
  client::Target target = TestTarget();
  target.endpoint = "http://10.1.2.3:8770";
  EnvironmentPlan plan =
      PlanEnvironment(target, "/b.pem", FixedEnvironment({{"NO_PROXY", "*, .amazonaws.com,a.example"}}));
  EXPECT_EQ(ValueOf(plan, "NO_PROXY"), "127.0.0.1,localhost,10.1.2.3,a.example");
  EXPECT_THAT(plan.notes, ElementsAre(HasSubstr("NO_PROXY held *"), HasSubstr("NO_PROXY held .amazonaws.com")));
}

TEST(JsonObject, IsJsonWithNullForWhatToUnset) {
  auto parsed = boost::json::parse(JsonObject(PlanEnvironment(TestTarget(), "/b \"q\".pem", FixedEnvironment({}))));
  EXPECT_EQ(parsed.at("AWS_SECRET_ACCESS_KEY").as_string(), "se'cr$(et)/+=");
  EXPECT_EQ(parsed.at("AWS_CA_BUNDLE").as_string(), "/b \"q\".pem");
  EXPECT_TRUE(parsed.at("AWS_PROFILE").is_null());
}

}  // namespace
}  // namespace sagebrush::cli
