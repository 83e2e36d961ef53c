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
  if (source >= 0) TRYV(ExtractSource(source, kCode));
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

Result<json::object> Perform(const std::string& name, const driver::InstanceSpec& spec, const std::string& program,
                             const TaskFiles& files) {
  if (name == "prepare") return Prepare(program, files.source);
  if (name == "failure") return ReadFailure();
  if (name == "model") return Pack("/opt/ml/model", files.model, spec.compress_model, true);
  if (name == "output") return Pack("/opt/ml/output/data", files.output, true, false);
  return Fail(Internal("There is no task " + name + "."));
}

}  // namespace

int RunTask(const std::string& name, const driver::InstanceSpec& spec, const std::string& program,
            const TaskFiles& files, int result_fd) {
  Result<json::object> result = Perform(name, spec, program, files);
  json::object report = result ? *result : json::object{{"error", result.error().message}};
  return io::WriteAll(result_fd, json::serialize(report)) ? 0 : 1;
}

}  // namespace sagebrush::agent
