#include "agent/inside.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cerrno>
#include <filesystem>

#include "agent/artifacts.h"
#include "agent/failure_text.h"
#include "agent/source_archive.h"
#include "base/text.h"
#include "io/file.h"

namespace sagebrush::agent {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr char kCode[] = "/opt/ml/code";

bool IsFile(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

Result<json::object> Prepare(const std::string& program, int source) {
  if (source >= 0) TRYV(ExtractArchive(source, kCode, "The source archive"));
  fs::path path = fs::path(kCode) / program;
  bool there = !program.empty() && IsFile(path);
  // As the hosted toolkit does; a tar made elsewhere may lack the bit.
  if (there && path.extension() != ".py") ::chmod(path.c_str(), 0777);
  return json::object{{"program", there},
                      {"requirements", IsFile(fs::path(kCode) / "requirements.txt")},
                      {"setup", IsFile(fs::path(kCode) / "setup.py")}};
}

Result<json::object> ReadFailure() {
  Result<io::UniqueFd> fd = io::Open("/opt/ml/output/failure", O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  struct stat status{};
  if (!fd || ::fstat(fd->get(), &status) != 0 || !S_ISREG(status.st_mode)) return json::object{};
  TRY(std::string text, io::ReadAt(fd->get(), 0, 4 * kMaxFailureCharacters));
  return json::object{{"text", CutCharacters(text, kMaxFailureCharacters)}};
}

Result<json::object> Pack(const fs::path& directory, int output, bool compress, bool even_empty) {
  TRY(bool content, HasContent(directory));
  if (!content && !even_empty) return json::object{{"empty", true}};
  TRYV(compress ? PackDirectory(directory, output) : CopyDirectory(directory, output));
  return json::object{{"empty", false}};
}

bool IsProgram(const fs::path& path) { return IsFile(path) && ::access(path.c_str(), X_OK) == 0; }

Result<json::object> PrepareService(const TaskPlan& plan) {
  const std::string& source = plan.spec->service->model_source;
  std::string what = source.empty() ? "The model archive" : "The model archive " + source;
  if (plan.files.source >= 0) TRYV(ExtractArchive(plan.files.source, "/opt/ml/model", what));
  const std::string& name = plan.spec->service->command.front();
  if (name.find('/') != std::string::npos) return json::object{{"program", IsProgram(name) ? name : ""}};
  for (std::string_view directory : Split(plan.search_path, ':')) {
    fs::path path = fs::path(directory) / name;
    if (IsProgram(path)) return json::object{{"program", path.native()}};
  }
  return json::object{{"program", ""}};
}

Result<json::object> Perform(const std::string& name, const TaskPlan& plan) {
  if (name == "prepare") return Prepare(plan.program, plan.files.source);
  if (name == "serve") return PrepareService(plan);
  if (name == "failure") return ReadFailure();
  if (name == "model") return Pack("/opt/ml/model", plan.files.model, plan.spec->compress_model, true);
  if (name == "output") return Pack("/opt/ml/output/data", plan.files.output, true, false);
  return Fail(Internal("There is no task " + name + "."));
}

}  // namespace

int RunTask(const std::string& name, const TaskPlan& plan, int result_fd) {
  Result<json::object> result = Perform(name, plan);
  json::object report = result ? *result : json::object{{"error", result.error().message}};
  return io::WriteAll(result_fd, json::serialize(report)) ? 0 : 1;
}

}  // namespace sagebrush::agent
