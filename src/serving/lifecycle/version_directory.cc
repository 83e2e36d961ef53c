#include "serving/lifecycle/version_directory.h"

#include <algorithm>
#include <system_error>

#include "base/text.h"

namespace sagebrush::serving {

Result<std::map<int64_t, std::filesystem::path>> ListVersions(const std::filesystem::path& base_path) {
  std::map<int64_t, std::filesystem::path> versions;
  std::error_code failure;
  std::filesystem::directory_iterator entries(base_path, failure);
  for (; !failure && entries != std::filesystem::directory_iterator(); entries.increment(failure)) {
    std::string name = entries->path().filename();
    std::optional<int64_t> number = ParseInt(name);
    std::error_code ignored;
    if (!number || !entries->is_directory(ignored)) continue;
    auto [known, added] = versions.try_emplace(*number, entries->path());
    if (!added && name.size() < known->second.filename().native().size()) known->second = entries->path();
  }
  if (failure) return Fail(FromErrno(failure.value(), "The model's directory " + base_path.native()));
  return versions;
}

std::vector<int64_t> AspiredVersions(const std::map<int64_t, std::filesystem::path>& present,
                                     const VersionPolicy& policy) {
  std::vector<int64_t> wanted;
  const auto* latest = std::get_if<LatestVersions>(&policy);
  const auto* specific = std::get_if<SpecificVersions>(&policy);
  for (auto entry = present.rbegin(); entry != present.rend(); ++entry) {
    if (latest != nullptr && wanted.size() >= latest->count) break;
    if (specific != nullptr && std::ranges::find(specific->versions, entry->first) == specific->versions.end()) {
      continue;
    }
    wanted.push_back(entry->first);
  }
  return wanted;
}

}  // namespace sagebrush::serving
