#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "base/result.h"
#include "cli/config.h"
#include "client/session.h"

namespace sagebrush::cli {

std::optional<std::string> ProcessEnvironment(const std::string& name);  // nullopt when unset or empty

// --data-dir, else SAGEBRUSH_HOME, else /var/lib/sagebrush for root, else $XDG_DATA_HOME/sagebrush, else
// ~/.local/share/sagebrush. Absolute.
Result<std::filesystem::path> ResolveDataDirectory(const std::string& flag, const GetEnvironment& environment,
                                                   bool is_root);

// What engine.json says of the engine of a data directory.
struct EngineRecord {
  std::string endpoint;  // http://127.0.0.1:8770
  int64_t pid = 0;
  std::string version;
  std::string region;  // "" when the engine did not write it; then the configured one holds
};

// kUnavailable, with how to start one, when no engine runs on the directory: no engine.json, or a stale one (its
// process is gone, or nobody listens there).
Result<EngineRecord> FindEngine(const std::filesystem::path& data_dir);

// Endpoint, owner's keys and region (`region` unless the engine wrote its own) of the running engine.
// Read anew at each call.
Result<client::Target> FindTarget(const std::filesystem::path& data_dir, const std::string& region);

// Whether something accepts connections at "address:port" within a second.
bool Listens(const std::string& host, const std::string& port);

// Host and port of "http://host:port" (brackets of an IPv6 address removed) or of "host:port".
std::pair<std::string, std::string> HostAndPort(std::string_view endpoint);

std::filesystem::path BesideThisProgram(std::string_view name);
// `configured`, else <data_dir>/bin/uv, else beside this program, else on PATH; empty when there is none.
std::filesystem::path FindUv(const std::filesystem::path& configured, const std::filesystem::path& data_dir);
// The first executable of that name on PATH; empty when there is none.
std::filesystem::path FindOnPath(std::string_view name);

}  // namespace sagebrush::cli
