#include "serving/lifecycle/memory_room.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "base/text.h"

namespace sagebrush::serving {
namespace {

namespace fs = std::filesystem;

// The number behind the name, in a file of lines "NAME NUMBER" or "NAME: NUMBER kB".
std::optional<int64_t> NumberOf(const fs::path& file, std::string_view name) {
  std::ifstream lines(file);
  std::string word;
  int64_t number = 0;
  while (lines >> word >> number) {
    if (word == name) return number;
    lines.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return std::nullopt;
}

// A file of one number; nullopt for "max".
std::optional<int64_t> OnlyNumber(const fs::path& file) {
  std::ifstream stream(file);
  int64_t number = 0;
  return stream >> number ? std::optional(number) : std::nullopt;
}

// What one control group leaves; nullopt when it limits nothing.
std::optional<int64_t> RoomOf(const fs::path& group, std::string_view limit_name, std::string_view used_name) {
  std::optional<int64_t> limit = OnlyNumber(group / limit_name), used = OnlyNumber(group / used_name);
  if (!limit || !used) return std::nullopt;
  int64_t cache = 0;
  for (std::string_view name : {"inactive_file", "active_file"}) {
    cache += NumberOf(group / "memory.stat", name).value_or(0);
  }
  return *limit - std::max<int64_t>(0, *used - cache);
}

void Lower(std::optional<int64_t>& room, std::optional<int64_t> other) {
  if (other && (!room || *other < *room)) room = other;
}

}  // namespace

std::optional<int64_t> AvailableMemory(const fs::path& root) {
  std::optional<int64_t> room = NumberOf(root / "proc/meminfo", "MemAvailable:");
  if (room) *room *= 1024;
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    // "4:memory:/path" of version 1, "0::/path" of version 2.
    std::vector<std::string_view> parts = Split(line, ':');
    if (parts.size() < 3) continue;
    bool second = parts[1].empty();
    if (!second && parts[1] != "memory") continue;
    fs::path mount = root / (second ? "sys/fs/cgroup" : "sys/fs/cgroup/memory");
    // In a container the path may be that of the host, and its own group the root of what it sees.
    for (fs::path path = fs::path(parts[2]).relative_path();; path = path.parent_path()) {
      Lower(room, second ? RoomOf(mount / path, "memory.max", "memory.current")
                         : RoomOf(mount / path, "memory.limit_in_bytes", "memory.usage_in_bytes"));
      if (path.empty()) break;
    }
  }
  return room;
}

int64_t SavedModelBytes(const fs::path& version_directory) {
  int64_t bytes = 0;
  auto add = [&](const fs::path& file) {
    std::error_code failure;
    auto size = fs::file_size(file, failure);
    if (!failure) bytes += static_cast<int64_t>(size);
  };
  add(version_directory / "saved_model.pb");
  std::error_code failure;
  fs::directory_iterator variables(version_directory / "variables", failure);
  for (; !failure && variables != fs::directory_iterator(); variables.increment(failure)) add(variables->path());
  return bytes;
}

}  // namespace sagebrush::serving
