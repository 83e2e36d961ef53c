#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/config.h"
#include "client/session.h"

namespace sagebrush::cli {

// A variable of the user's shell: set to the value, or unset when there is none.
using Setting = std::pair<std::string, std::optional<std::string>>;

struct EnvironmentPlan {
  std::vector<Setting> settings;
  std::vector<std::string> notes;  // for standard error
};

// What makes the AWS SDKs and tools talk to the engine. HTTPS_PROXY is for the hosts that the SDKs hard-wire (STS,
// telemetry): the engine answers for AWS hosts and tunnels all others, certificates untouched. SSL_CERT_FILE stays
// alone: AWS clients take the two bundle variables, and a program's own choice of roots should not change.
// A proxy that was set is kept in SAGEBRUSH_SAVED_* for PlanUnset.
EnvironmentPlan PlanEnvironment(const client::Target& target, const std::filesystem::path& bundle,
                                const GetEnvironment& environment);

// Takes back what PlanEnvironment set.
EnvironmentPlan PlanUnset(const GetEnvironment& environment);

// `export A=…` and `unset B` lines for a POSIX shell, or a JSON object (unset ones as null).
std::string ShellLines(const EnvironmentPlan& plan);
std::string JsonObject(const EnvironmentPlan& plan);

}  // namespace sagebrush::cli
