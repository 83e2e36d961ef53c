#include "api/sts.h"

#include <fmt/format.h>

#include "api/iam.h"
#include "gen/sts.h"

namespace sagebrush::api {

void RegisterSts(QueryService& service, const Installation& installation) {
  using gen::sts::GetCallerIdentityRequest;
  using gen::sts::GetCallerIdentityResponse;
  service.Register<GetCallerIdentityRequest, GetCallerIdentityResponse>(
      "2011-06-15", "https://sts.amazonaws.com/doc/2011-06-15/", "GetCallerIdentity",
      [installation](const GetCallerIdentityRequest&, const CallContext& context) -> Result<GetCallerIdentityResponse> {
        std::string session = context.caller.access_key.starts_with("ASIA") ? "job" : "owner";
        GetCallerIdentityResponse reply;
        reply.Account = installation.account;
        reply.UserId = fmt::format("{}:{}", RoleId(kExecutionRole), session);
        reply.Arn = fmt::format("arn:aws:sts::{}:assumed-role/{}/{}", installation.account, kExecutionRole, session);
        return reply;
      });
}

}  // namespace sagebrush::api
