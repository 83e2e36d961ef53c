#include "cli/env_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "base/log.h"
#include "base/text.h"
#include "cli/format.h"
#include "cli/locations.h"

namespace sagebrush::cli {
namespace {

struct ProxyVariable {
  std::string_view name, saved;
};
constexpr std::array<ProxyVariable, 4> kProxyVariables = {{{"HTTPS_PROXY", "SAGEBRUSH_SAVED_HTTPS_PROXY"},
                                                           {"https_proxy", "SAGEBRUSH_SAVED_https_proxy"},
                                                           {"NO_PROXY", "SAGEBRUSH_SAVED_NO_PROXY"},
                                                           {"no_proxy", "SAGEBRUSH_SAVED_no_proxy"}}};

// Variables that hold nothing of the user's own that could be restored.
constexpr std::array<std::string_view, 8> kOwnVariables = {
    "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID",         "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION",
    "AWS_REGION",       "AWS_EC2_METADATA_DISABLED", "AWS_CA_BUNDLE",         "REQUESTS_CA_BUNDLE"};

// `current` with the loopback names and the engine's host, each once; entries that would keep AWS hosts away from
// the engine are left out.
std::string MergeNoProxy(const std::string& current, const std::string& engine_host, std::vector<std::string>& notes) {
  std::vector<std::string> entries = {"127.0.0.1", "localhost"};
  auto add = [&entries](std::string entry) {
    if (!entry.empty() && std::ranges::find(entries, entry) == entries.end()) entries.push_back(std::move(entry));
  };
  add(engine_host);
  for (std::string_view part : Split(current, ',')) {
    std::string entry(Trim(part));
    if (entry == "*" || ToLower(entry).find("amazonaws.com") != std::string::npos) {
      notes.push_back(
          fmt::format("sagebrush: NO_PROXY held {}, which would keep AWS's host names from reaching the "
                      "engine; it is left out in this shell.",
                      entry));
      continue;
    }
    add(std::move(entry));
  }
  std::string joined;
  for (const std::string& entry : entries) joined += (joined.empty() ? "" : ",") + entry;
  return joined;
}

std::string Value(const GetEnvironment& environment, std::string_view name) {
  return environment(std::string(name)).value_or("");
}

}  // namespace

EnvironmentPlan PlanEnvironment(const client::Target& target, const std::filesystem::path& bundle,
                                const GetEnvironment& environment) {
  EnvironmentPlan plan;
  auto set = [&plan](std::string_view name, std::string value) {
    plan.settings.emplace_back(std::string(name), std::move(value));
  };
  set("AWS_ENDPOINT_URL", target.endpoint);
  set("AWS_ACCESS_KEY_ID", target.credentials.access_key);
  set("AWS_SECRET_ACCESS_KEY", target.credentials.secret);
  set("AWS_DEFAULT_REGION", target.region);
  set("AWS_REGION", target.region);
  set("AWS_EC2_METADATA_DISABLED", "true");
  set("AWS_CA_BUNDLE", bundle.string());
  set("REQUESTS_CA_BUNDLE", bundle.string());

  // Run a second time in the same shell, the saved values are the user's own, not the current ones.
  bool again = Value(environment, "HTTPS_PROXY") == target.endpoint ||
               !Value(environment, "SAGEBRUSH_SAVED_HTTPS_PROXY").empty();
  std::string no_proxy = Value(environment, "NO_PROXY");
  if (no_proxy.empty()) no_proxy = Value(environment, "no_proxy");
  std::string proxy = Value(environment, "HTTPS_PROXY");
  if (proxy.empty()) proxy = Value(environment, "https_proxy");
  if (!again) {
    for (const ProxyVariable& variable : kProxyVariables) {
      if (auto value = environment(std::string(variable.name))) set(variable.saved, *value);
    }
    if (!proxy.empty()) {
      plan.notes.push_back(
          fmt::format("sagebrush: HTTPS_PROXY was {}; in this shell it is now the engine, which answers for AWS's "
                      "hosts and connects to all others directly, not through that proxy. "
                      "`eval \"$(sagebrush env --unset)\"` brings it back.",
                      WithoutUserInfo(proxy)));
    }
  }
  set("HTTPS_PROXY", target.endpoint);
  set("https_proxy", target.endpoint);
  std::string merged = MergeNoProxy(no_proxy, HostAndPort(target.endpoint).first, plan.notes);
  set("NO_PROXY", merged);
  set("no_proxy", merged);
  for (const char* name : {"AWS_SESSION_TOKEN", "AWS_PROFILE"}) plan.settings.emplace_back(name, std::nullopt);
  return plan;
}

EnvironmentPlan PlanUnset(const GetEnvironment& environment) {
  EnvironmentPlan plan;
  for (std::string_view name : kOwnVariables) plan.settings.emplace_back(std::string(name), std::nullopt);
  for (const ProxyVariable& variable : kProxyVariables) {
    plan.settings.emplace_back(std::string(variable.name), environment(std::string(variable.saved)));
    plan.settings.emplace_back(std::string(variable.saved), std::nullopt);
  }
  return plan;
}

std::string ShellLines(const EnvironmentPlan& plan) {
  std::string lines;
  for (const auto& [name, value] : plan.settings) {
    lines += value ? fmt::format("export {}={}\n", name, ShellQuote(*value)) : fmt::format("unset {}\n", name);
  }
  return lines;
}

std::string JsonObject(const EnvironmentPlan& plan) {
  std::string text = "{\n";
  for (size_t i = 0; i < plan.settings.size(); ++i) {
    const auto& [name, value] = plan.settings[i];
    text += fmt::format("  \"{}\": {}{}\n", JsonEscape(name), value ? "\"" + JsonEscape(*value) + "\"" : "null",
                        i + 1 < plan.settings.size() ? "," : "");
  }
  return text + "}\n";
}

}  // namespace sagebrush::cli
