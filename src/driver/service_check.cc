#include "driver/service_check.h"

#include <system_error>

namespace sagebrush::driver {

Result<void> CheckService(const InstanceSpec& spec) {
  if (!spec.service) return {};
  const Service& service = *spec.service;
  if (service.command.empty() || service.command.front().empty()) {
    return Fail(InvalidArgument("An instance that serves needs a command."));
  }
  if (service.port == 0) return Fail(InvalidArgument("An instance that serves needs a port."));
  std::error_code error;
  if (!service.model_archive.empty() && !std::filesystem::is_regular_file(service.model_archive, error)) {
    return Fail(
        InvalidArgument("The model archive was not staged: " + service.model_archive.native() + " is no file."));
  }
  const std::pair<const char*, bool> training[] = {
      {"a source archive", !spec.source_archive.empty()},
      {"hyperparameters", !spec.hyperparameters.empty()},
      {"channels", !spec.channels.empty()},
      {"checkpoints", !spec.checkpoints.directory.empty()},
      {"an entry point", !spec.entrypoint.empty() || !spec.arguments.empty()},
  };
  for (const auto& [what, there] : training) {
    if (there) return Fail(InvalidArgument(std::string("An instance that serves has no use for ") + what + "."));
  }
  return {};
}

}  // namespace sagebrush::driver
