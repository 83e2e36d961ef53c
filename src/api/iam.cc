#include "api/iam.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/hash.h"
#include "base/text.h"
#include "gen/iam.h"

namespace sagebrush::api {
namespace {

constexpr std::string_view kVersion = "2010-05-08";
constexpr std::string_view kNamespace = "https://iam.amazonaws.com/doc/2010-05-08/";
// Roles are not made by anybody here; clients only need the member to be there.
constexpr int64_t kRoleCreatedMs = 1577836800000;  // 2020-01-01
constexpr int64_t kDefaultMaxItems = 100;
constexpr std::string_view kTrustPolicy =
    R"({"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"sagemaker.amazonaws.com"},)"
    R"("Action":"sts:AssumeRole"}]})";

Result<gen::iam::GetRoleResponse> GetRole(const gen::iam::GetRoleRequest& request, const Installation& installation) {
  gen::iam::GetRoleResponse reply;
  reply.Role.Path = "/";
  reply.Role.RoleName = request.RoleName;
  reply.Role.RoleId = RoleId(request.RoleName);
  reply.Role.Arn = fmt::format("arn:aws:iam::{}:role/{}", installation.account, request.RoleName);
  reply.Role.CreateDate = wire::Timestamp{kRoleCreatedMs};
  reply.Role.AssumeRolePolicyDocument = UriEncode(kTrustPolicy);
  reply.Role.MaxSessionDuration = 3600;
  return reply;
}

// Pages by the number of results before; a Marker is that number.
Result<gen::iam::SimulatePolicyResponse> SimulatePrincipalPolicy(
    const gen::iam::SimulatePrincipalPolicyRequest& request) {
  std::vector<std::string> resources = request.ResourceArns;
  if (resources.empty()) resources.emplace_back("*");
  int64_t total = static_cast<int64_t>(request.ActionNames.size() * resources.size());
  std::optional<int64_t> first = request.Marker ? ParseInt(*request.Marker) : 0;
  if (!first || *first > total) {
    return Fail(InvalidArgument("Marker must be the one that an earlier reply returned.", "InvalidInput"));
  }
  int64_t end = std::min(total, *first + request.MaxItems.value_or(kDefaultMaxItems));
  gen::iam::SimulatePolicyResponse reply;
  for (int64_t i = *first; i < end; ++i) {
    gen::iam::EvaluationResult& result = reply.EvaluationResults.emplace_back();
    result.EvalActionName = request.ActionNames[static_cast<size_t>(i) / resources.size()];
    result.EvalResourceName = resources[static_cast<size_t>(i) % resources.size()];
    result.EvalDecision = "allowed";
  }
  reply.IsTruncated = end < total;
  if (end < total) reply.Marker = std::to_string(end);
  return reply;
}

}  // namespace

std::string RoleId(std::string_view role_name) {
  static constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  std::string digest = Sha256(role_name);
  std::string out = "AROA";
  for (size_t i = 0; i < 17; ++i) out += kAlphabet[static_cast<unsigned char>(digest[i]) % kAlphabet.size()];
  return out;
}

void RegisterIam(QueryService& service, const Installation& installation) {
  service.Register<gen::iam::GetRoleRequest, gen::iam::GetRoleResponse>(
      std::string(kVersion), std::string(kNamespace), "GetRole",
      [installation](const gen::iam::GetRoleRequest& request, const CallContext&) {
        return GetRole(request, installation);
      });
  service.Register<gen::iam::SimulatePrincipalPolicyRequest, gen::iam::SimulatePolicyResponse>(
      std::string(kVersion), std::string(kNamespace), "SimulatePrincipalPolicy",
      [](const gen::iam::SimulatePrincipalPolicyRequest& request, const CallContext&) {
        return SimulatePrincipalPolicy(request);
      });
}

}  // namespace sagebrush::api
