#pragma once

#include <stdlib.h>

#include <filesystem>
#include <map>
#include <sstream>
#include <string>

#include "base/check.h"
#include "cli/config.h"
#include "cli/terminal.h"
#include "io/file.h"

namespace sagebrush::cli::testing {

// A directory of one test's own, removed at its end.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string form = (std::filesystem::temp_directory_path() / "sagebrush-cli-XXXXXX").string();
    CHECK(mkdtemp(form.data()) != nullptr);
    path_ = form;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }
  void Write(const std::string& name, const std::string& text, mode_t mode = 0600) const {
    CHECK(io::MakeDirectories((path_ / name).parent_path()).has_value());
    CHECK(io::WriteFile(path_ / name, text, mode).has_value());
  }

 private:
  std::filesystem::path path_;
};

// Keeps what a command writes.
struct CapturedTerminal {
  explicit CapturedTerminal(Terminal::Traits traits = {}) : terminal(out, err, traits) {}
  std::ostringstream out, err;
  Terminal terminal;
};

inline GetEnvironment FixedEnvironment(std::map<std::string, std::string> variables) {
  return [variables = std::move(variables)](const std::string& name) -> std::optional<std::string> {
    auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
}

}  // namespace sagebrush::cli::testing
