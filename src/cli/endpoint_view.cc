#include "cli/endpoint_view.h"

#include <fmt/format.h>

#include "cli/format.h"

namespace sagebrush::cli {
namespace {

using client::Endpoint;

// "2", or "1 of 2" while instances come or go.
std::string Count(int64_t instances, int64_t desired) {
  return instances == desired ? std::to_string(instances) : fmt::format("{} of {}", instances, desired);
}

std::string InstancesOf(const Endpoint& endpoint) {
  int64_t instances = 0, desired = 0;
  for (const client::EndpointVariant& variant : endpoint.variants) {
    instances += variant.instances;
    desired += variant.desired_instances;
  }
  return Count(instances, desired);
}

}  // namespace

std::string EndpointTable(const std::vector<Endpoint>& endpoints) {
  std::vector<std::vector<std::string>> rows;
  for (const Endpoint& endpoint : endpoints) {
    rows.push_back({Printable(endpoint.name), endpoint.status, InstancesOf(endpoint), Printable(endpoint.config),
                    FormatLocalTime(endpoint.created_ms), FormatLocalTime(endpoint.modified_ms)});
  }
  return FormatTable({"NAME", "STATUS", "INSTANCES", "CONFIG", "CREATED", "CHANGED"}, rows);
}

std::string EndpointsJson(const std::vector<Endpoint>& endpoints) {
  std::vector<std::string> replies;
  for (const Endpoint& endpoint : endpoints) replies.push_back(endpoint.json);
  return fmt::format("[{}]\n", fmt::join(replies, ","));
}

std::string EndpointSummary(const Endpoint& endpoint) {
  std::vector<Field> fields = {{"ARN", Printable(endpoint.arn)}, {"Status", endpoint.status}};
  if (!endpoint.failure_reason.empty()) fields.push_back({"Failure", Printable(endpoint.failure_reason)});
  fields.push_back({"Config", Printable(endpoint.config)});
  fields.push_back({"Created", FormatLocalTime(endpoint.created_ms)});
  fields.push_back({"Changed", FormatLocalTime(endpoint.modified_ms)});
  std::vector<Field> variants;
  for (const client::EndpointVariant& variant : endpoint.variants) {
    variants.push_back({Printable(variant.name),
                        fmt::format("{} instances, weight {}, {}", Count(variant.instances, variant.desired_instances),
                                    variant.weight, Printable(variant.image))});
  }
  return fmt::format("{}\n{}{}", Printable(endpoint.name), FormatFields(fields), FormatSection("Variants", variants));
}

}  // namespace sagebrush::cli
