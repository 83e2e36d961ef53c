#include "serving/handlers/handler_code.h"

#include "base/log.h"

namespace sagebrush::serving {

namespace fs = std::filesystem;

std::optional<HandlerCode> FindHandlerCode(const fs::path& root) {
  HandlerCode code{
      .directory = root / "code", .script = root / "code" / "inference.py", .requirements = {}, .library = {}};
  std::error_code ec;
  if (!fs::is_regular_file(code.script, ec)) return std::nullopt;
  if (fs::is_directory(code.directory / "lib", ec)) code.library = code.directory / "lib";
  fs::path requirements = code.directory / "requirements.txt";
  if (!fs::is_regular_file(requirements, ec)) return code;
  if (code.library) {
    Log(LogLevel::kWarning, "requirements_ignored",
        {{"requirements", requirements.string()}, {"reason", "code/lib is there, and is used in their place"}});
  } else {
    code.requirements = requirements;
  }
  return code;
}

}  // namespace sagebrush::serving
