#include "serving/handlers/handlers.h"

#include <algorithm>

#include "serving/handlers/requirements.h"

namespace sagebrush::serving {

Result<void> Handlers::Add(const std::string& model, const HandlerCode& code) {
  HandlerPoolOptions pool{.command = {.python = options_.python,
                                      .script = code.script,
                                      .directory = code.directory,
                                      .python_path = {code.directory}},
                          .workers = options_.workers,
                          .call_timeout = options_.call_timeout,
                          .import_timeout = options_.import_timeout};
  if (code.library) pool.command.python_path.push_back(*code.library);
  if (code.requirements) {
    std::filesystem::path target;
    {
      std::lock_guard lock(mutex_);
      target = options_.work_directory / ("requirements-" + std::to_string(++installs_));
    }
    TRYV(InstallRequirements(options_.python, *code.requirements, target, options_.install_timeout));
    pool.command.python_path.push_back(target);
  }
  TRY(std::shared_ptr<HandlerPool> started, HandlerPool::Start(std::move(pool), service_));
  std::lock_guard lock(mutex_);
  pools_[model] = std::move(started);
  return {};
}

void Handlers::Remove(const std::string& model) {
  std::shared_ptr<HandlerPool> ending;  // destroyed without the lock
  std::lock_guard lock(mutex_);
  auto found = pools_.find(model);
  if (found == pools_.end()) return;
  ending = std::move(found->second);
  pools_.erase(found);
}

std::shared_ptr<HandlerPool> Handlers::Find(const std::string& model) const {
  std::lock_guard lock(mutex_);
  auto found = pools_.find(model);
  if (found == pools_.end()) found = pools_.find("");
  return found == pools_.end() ? nullptr : found->second;
}

bool Handlers::healthy() const {
  std::lock_guard lock(mutex_);
  return std::ranges::all_of(pools_, [](const auto& pool) { return pool.second->healthy(); });
}

}  // namespace sagebrush::serving
