#include "base/failpoint.h"

#ifdef SAGEBRUSH_FAILPOINTS

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string>

#include "base/text.h"

namespace sagebrush {
namespace {

struct Target {
  std::string name;
  int64_t passage = 1;
};

Target TargetFromEnvironment() {
  const char* text = std::getenv("SAGEBRUSH_FAILPOINT");
  if (text == nullptr) return {};
  std::string_view spec(text);
  size_t at = spec.find('@');
  Target target{std::string(spec.substr(0, at)), 1};
  if (at != std::string_view::npos) target.passage = ParseInt(spec.substr(at + 1)).value_or(1);
  return target;
}

void AppendToLog(std::string_view name) {
  const char* path = std::getenv("SAGEBRUSH_FAILPOINT_LOG");
  if (path == nullptr) return;
  int fd = ::open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return;
  std::string line = std::string(name) + "\n";
  [[maybe_unused]] ssize_t written = ::write(fd, line.data(), line.size());
  ::close(fd);
}

}  // namespace

void PassFailpoint(std::string_view name) {
  static const Target target = TargetFromEnvironment();
  static std::atomic<int64_t> passages{0};
  AppendToLog(name);
  if (target.name == name && ++passages == target.passage) ::kill(::getpid(), SIGKILL);
}

}  // namespace sagebrush

#endif
