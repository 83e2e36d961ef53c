#include "cli/driver_requirements.h"

#include <stdlib.h>

#include <filesystem>
#include <string>

#include "cli/locations.h"
#include "driver/sandbox/sandbox_driver.h"
#include "io/file.h"

namespace sagebrush::cli {
namespace {

namespace fs = std::filesystem;

// A directory to try things in, on the file system of the data directory where that can be; removed at the end.
class Workbench {
 public:
  explicit Workbench(fs::path near) {
    std::error_code ignored;
    while (!fs::is_directory(near, ignored) && near.has_relative_path()) near = near.parent_path();
    for (const fs::path& parent : {near, fs::temp_directory_path(ignored)}) {
      std::string form = (parent / ".sagebrush-doctor-XXXXXX").string();
      if (mkdtemp(form.data()) != nullptr) {
        path_ = form;
        return;
      }
    }
  }
  ~Workbench() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  Workbench(const Workbench&) = delete;
  Workbench& operator=(const Workbench&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

}  // namespace

std::vector<driver::Requirement> DriverRequirements(const ServeOptions& options) {
  Workbench workbench(options.data_dir);
  if (workbench.path().empty()) {
    return {{.name = "sandbox",
             .met = false,
             .detail = "there is no directory to try things in",
             .remedy = "make the data directory or TMPDIR writable for you, then run doctor again"}};
  }
  fs::path agent = options.agent.empty() ? BesideThisProgram("sagebrush-agent") : options.agent;
  auto requirements = driver::ProbeSandboxRequirements(agent, workbench.path());
  // The user knows the directory above, not this short-lived one.
  std::string name = "/" + workbench.path().filename().string();
  for (driver::Requirement& requirement : requirements) {
    size_t at = requirement.detail.find(name);
    if (at != std::string::npos) requirement.detail.erase(at, name.size());
  }
  return requirements;
}

}  // namespace sagebrush::cli
