#include "http/connect_policy.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/text.h"

namespace sagebrush::http {
namespace {

bool IsOneOf(std::string_view label, std::initializer_list<std::string_view> names) {
  return std::ranges::find(names, label) != names.end();
}

}  // namespace

bool IsInterceptedHost(const std::string& host) {
  std::string_view name = host;
  constexpr std::string_view kSuffix = ".amazonaws.com";
  if (!name.ends_with(kSuffix)) return false;
  name.remove_suffix(kSuffix.size());
  std::vector<std::string_view> labels = Split(name, '.');
  if (std::ranges::any_of(labels, [](std::string_view label) { return label.empty(); })) return false;
  // <service>[.<region>], {api,runtime,runtime-fips,…}.sagemaker.<region>
  if (labels.size() <= 2 && IsOneOf(labels[0], {"sagemaker", "s3", "logs", "monitoring", "sts", "iam"})) return true;
  if (labels.size() == 3 && labels[1] == "sagemaker") return IsOneOf(labels[0], {"api", "runtime"});
  // <bucket>.s3[.<region>], where a bucket's name may have dots; also the dualstack form and s3-<region> of old.
  for (size_t i = 0; i < labels.size(); ++i) {
    size_t behind = labels.size() - i - 1;
    if (labels[i] == "s3" && (behind <= 1 || (behind == 2 && labels[i + 1] == "dualstack"))) return true;
    if (labels[i].starts_with("s3-") && behind == 0 && !labels[i].starts_with("s3-control")) return true;
  }
  return false;
}

ProxyDecision DefaultConnectPolicy(const ProxyTarget& target) {
  using Action = ProxyDecision::Action;
  if (IsInterceptedHost(target.host)) return {Action::kIntercept, {}, false};
  if (target.local) return {Action::kTunnel, {}, false};
  if (target.peer_loopback) return {Action::kTunnel, {}, true};
  return {Action::kRefuse,
          "This engine is no proxy for other machines: it only answers for the AWS hosts that it stands in for. Set "
          "NO_PROXY for '" +
              target.host + "', or reach it without a proxy.",
          false};
}

}  // namespace sagebrush::http
