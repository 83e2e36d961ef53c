#include "serving/handlers/requirements.h"

#include "base/log.h"
#include "io/file.h"
#include "io/subprocess.h"

namespace sagebrush::serving {
namespace {

constexpr size_t kLastWords = 2000;

std::vector<std::string> Installer(const std::string& python) {
  Result<io::CommandOutcome> pip = io::Run({.argv = {python, "-m", "pip", "--version"},
                                            .environment = {},
                                            .working_directory = {},
                                            .deadline = std::chrono::seconds(60)});
  if (pip && pip->exit_code == 0) {
    return {python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--progress-bar=off"};
  }
  return {"uv", "pip", "install", "--python", python};
}

}  // namespace

Result<void> InstallRequirements(const std::string& python, const std::filesystem::path& requirements,
                                 const std::filesystem::path& target, std::chrono::seconds deadline) {
  TRYV(io::MakeDirectories(target));
  std::vector<std::string> argv = Installer(python);
  for (const std::string& word : {std::string("--target"), target.string(), std::string("-r"), requirements.string()}) {
    argv.push_back(word);
  }
  Log(LogLevel::kInfo, "installing_requirements",
      {{"requirements", requirements.string()}, {"target", target.string()}});
  TRY(io::CommandOutcome outcome, io::Run({.argv = std::move(argv),
                                           .environment = {},
                                           .working_directory = requirements.parent_path().string(),
                                           .deadline = deadline}));
  if (outcome.exit_code == 0) return {};
  std::string words = outcome.output;
  if (words.size() > kLastWords) words.erase(0, words.size() - kLastWords);
  return Fail(Error(ErrorKind::kFailedPrecondition, "cannot install " + requirements.string() +
                                                        " (put the packages into code/lib to do without):\n" + words));
}

}  // namespace sagebrush::serving
