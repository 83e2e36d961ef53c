#include "wire/query.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "base/text.h"
#include "gen/iam.h"
#include "gen/sts.h"

namespace sagebrush::wire {
namespace {

TEST(Form, ParsesWhatBotocoreSends) {
  auto form = ParseForm(
      "Action=SimulatePrincipalPolicy&Version=2010-05-08&PolicySourceArn=arn%3Aaws%3Aiam%3A%3A000000000000%3Arole%2Fr+x"
      "&ActionNames.member.1=s3%3AGetObject&ActionNames.member.2=s3%3APutObject&MaxItems=7"
      "&ContextEntries.member.1.ContextKeyName=aws%3Akey&ContextEntries.member.1.ContextKeyValues.member.1=v");
  ASSERT_TRUE(form);
  EXPECT_EQ(*FindField(*form, "Action"), "SimulatePrincipalPolicy");
  EXPECT_EQ(FindField(*form, "Nothing"), nullptr);
  auto request = FromForm<gen::iam::SimulatePrincipalPolicyRequest>(*form);
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(request->PolicySourceArn, "arn:aws:iam::000000000000:role/r x");
  EXPECT_THAT(request->ActionNames, testing::ElementsAre("s3:GetObject", "s3:PutObject"));
  EXPECT_EQ(request->MaxItems, 7);
  ASSERT_EQ(request->ContextEntries.size(), 1u);
  EXPECT_THAT(request->ContextEntries[0].ContextKeyValues, testing::ElementsAre("v"));
}

TEST(Form, IsValidatedByTheModel) {
  auto missing = FromForm<gen::iam::GetRoleRequest>({});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message,
            "1 validation error detected: Value null at 'roleName' failed to satisfy constraint: Member must not be "
            "null");
  Form form = {{"PolicySourceArn", "arn:aws:iam::000000000000:role/r"}, {"ActionNames.member.1", "s3:GetObject"}};
  form.emplace_back("MaxItems", "many");
  auto wrong = FromForm<gen::iam::SimulatePrincipalPolicyRequest>(form);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, "SerializationException");
}

TEST(Form, RefusesBrokenEscapes) {
  for (std::string body : {"a=%", "a=%zz", "%4=1", "a=%FF"}) {
    auto form = ParseForm(body);
    ASSERT_FALSE(form) << body;
    EXPECT_EQ(form.error().code, "SerializationException");
  }
}

TEST(Form, RoundTripsAnyText) {
  EXPECT_TRUE(rc::check("encode then parse", [] {
    auto pairs = *rc::gen::container<std::vector<std::pair<std::string, std::string>>>(
        rc::gen::pair(rc::gen::nonEmpty(rc::gen::container<std::string>(rc::gen::inRange<char>(1, 0x7F))),
                      rc::gen::container<std::string>(rc::gen::inRange<char>(0, 0x7F))));
    std::string body;
    for (const auto& [name, value] : pairs) body += "&" + UriEncode(name) + "=" + UriEncode(value);
    auto form = ParseForm(body);
    RC_ASSERT(form.has_value());
    RC_ASSERT(*form == pairs);
  }));
}

TEST(Xml, WritesMembersListsMapsAndTimes) {
  gen::iam::GetRoleResponse reply;
  reply.Role.RoleName = "a<b";
  reply.Role.CreateDate.ms = 1577836800000;
  reply.Role.Tags.push_back({.Key = "k", .Value = "v"});
  std::string xml = ToXml(reply);
  EXPECT_THAT(xml, testing::HasSubstr("<RoleName>a&lt;b</RoleName>"));
  EXPECT_THAT(xml, testing::HasSubstr("<CreateDate>2020-01-01T00:00:00.000Z</CreateDate>"));
  EXPECT_THAT(xml, testing::HasSubstr("<Tags><member><Key>k</Key><Value>v</Value></member></Tags>"));
  EXPECT_THAT(xml, testing::Not(testing::HasSubstr("Description")));
  gen::iam::EvaluationResult result;
  result.EvalDecisionDetails["x"] = "allowed";
  EXPECT_THAT(ToXml(result), testing::HasSubstr("<entry><key>x</key><value>allowed</value></entry>"));
}

}  // namespace
}  // namespace sagebrush::wire
