#include "api/query_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <pugixml.hpp>

#include "api/iam.h"
#include "api/sts.h"
#include "base/text.h"

namespace sagebrush::api {
namespace {

struct Reply {
  int status;
  pugi::xml_document xml;
};

void Call(const wire::Form& form, Reply& reply, std::string access_key = "AKIAEXAMPLE") {
  QueryService service;
  Installation installation{.account = "123456789012", .region = "us-west-2"};
  RegisterSts(service, installation);
  RegisterIam(service, installation);
  CallContext context{.caller = {std::move(access_key), "us-west-2", "sts", ""}, .request_id = "r-1"};
  http::Response response = service.Call(form, context);
  reply.status = response.status;
  std::string body = std::get<std::string>(response.body);
  ASSERT_TRUE(reply.xml.load_string(body.c_str())) << body;
}

std::string At(const Reply& reply, const char* path) { return reply.xml.first_element_by_path(path).child_value(); }

TEST(Sts, TheCallerIsARoleSoThatGetExecutionRoleWorks) {
  Reply reply;
  Call({{"Action", "GetCallerIdentity"}, {"Version", "2011-06-15"}}, reply);
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(At(reply, "GetCallerIdentityResponse/GetCallerIdentityResult/Account"), "123456789012");
  EXPECT_EQ(At(reply, "GetCallerIdentityResponse/GetCallerIdentityResult/Arn"),
            "arn:aws:sts::123456789012:assumed-role/SageMakerExecutionRole/owner");
  EXPECT_EQ(At(reply, "GetCallerIdentityResponse/ResponseMetadata/RequestId"), "r-1");
  Call({{"Action", "GetCallerIdentity"}, {"Version", "2011-06-15"}}, reply, "ASIAEXAMPLE");
  EXPECT_THAT(At(reply, "GetCallerIdentityResponse/GetCallerIdentityResult/Arn"), testing::EndsWith("/job"));
}

TEST(Iam, GetRoleKnowsEveryNameAndTrustsSageMaker) {
  Reply reply;
  Call({{"Action", "GetRole"}, {"Version", "2010-05-08"}, {"RoleName", "my-role"}}, reply);
  EXPECT_EQ(reply.status, 200);
  std::string role = "GetRoleResponse/GetRoleResult/Role/";
  EXPECT_EQ(At(reply, (role + "Arn").c_str()), "arn:aws:iam::123456789012:role/my-role");
  EXPECT_EQ(At(reply, (role + "Path").c_str()), "/");
  EXPECT_EQ(At(reply, (role + "RoleId").c_str()).size(), 21u);
  EXPECT_THAT(*UriDecode(At(reply, (role + "AssumeRolePolicyDocument").c_str())),
              testing::HasSubstr(R"("Service":"sagemaker.amazonaws.com")"));
}

TEST(Iam, SimulationAllowsEveryActionAndPages) {
  Reply reply;
  wire::Form form = {{"Action", "SimulatePrincipalPolicy"},
                     {"Version", "2010-05-08"},
                     {"PolicySourceArn", "arn:aws:iam::123456789012:role/r"},
                     {"ActionNames.member.1", "s3:GetObject"},
                     {"ActionNames.member.2", "s3:PutObject"},
                     {"ActionNames.member.3", "s3:ListBucket"},
                     {"MaxItems", "2"}};
  Call(form, reply);
  EXPECT_EQ(reply.status, 200);
  auto result = reply.xml.first_element_by_path("SimulatePrincipalPolicyResponse/SimulatePrincipalPolicyResult");
  auto first = result.child("EvaluationResults").child("member");
  EXPECT_STREQ(first.child_value("EvalActionName"), "s3:GetObject");
  EXPECT_STREQ(first.child_value("EvalDecision"), "allowed");
  EXPECT_STREQ(result.child_value("IsTruncated"), "true");
  form.emplace_back("Marker", result.child_value("Marker"));
  Call(form, reply);
  result = reply.xml.first_element_by_path("SimulatePrincipalPolicyResponse/SimulatePrincipalPolicyResult");
  EXPECT_STREQ(result.child("EvaluationResults").child("member").child_value("EvalActionName"), "s3:ListBucket");
  EXPECT_STREQ(result.child_value("IsTruncated"), "false");
  form.back().second = "99";
  Call(form, reply);
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(At(reply, "ErrorResponse/Error/Code"), "InvalidInput");
}

TEST(QueryService, RefusesWhatItDoesNotKnow) {
  Reply reply;
  Call({{"Version", "2011-06-15"}}, reply);
  EXPECT_EQ(At(reply, "ErrorResponse/Error/Code"), "MissingAction");
  Call({{"Action", "AssumeRole"}, {"Version", "2011-06-15"}}, reply);
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(At(reply, "ErrorResponse/Error/Code"), "InvalidAction");
  EXPECT_EQ(At(reply, "ErrorResponse/Error/Message"), "Could not find operation AssumeRole for version 2011-06-15.");
  Call({{"Action", "GetRole"}, {"Version", "2010-05-08"}}, reply);
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(At(reply, "ErrorResponse/Error/Code"), "ValidationError");
}

}  // namespace
}  // namespace sagebrush::api
