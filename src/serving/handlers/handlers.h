#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "serving/handlers/handler_code.h"
#include "serving/handlers/handler_pool.h"

namespace sagebrush::serving {

struct HandlersOptions {
  std::string python = "python3";
  std::filesystem::path work_directory;  // private to this server: installed requirements go below it
  int workers = 1;                       // of each inference.py
  std::chrono::milliseconds call_timeout{30'000};
  std::chrono::seconds install_timeout{1800};
  std::chrono::milliseconds import_timeout{300'000};
};

// The handlers of a server: one inference.py for all models, or one for each of them, or none, and then no Python runs.
// Thread-safe. The service outlives it.
class Handlers {
 public:
  Handlers(HandlersOptions options, ModelService& service) : options_(std::move(options)), service_(service) {}

  // Installs the requirements of `code` and starts its workers, for the named model or ("") for every model without
  // handlers of its own. Blocks, for minutes when much is to be installed. kFailedPrecondition with what the installer
  // or the script says.
  Result<void> Add(const std::string& model, const HandlerCode& code);
  // Ends the model's workers once the requests that they have are answered.
  void Remove(const std::string& model);
  // Those of the model, else those for every model, else null.
  std::shared_ptr<HandlerPool> Find(const std::string& model) const;
  bool healthy() const;

 private:
  const HandlersOptions options_;
  ModelService& service_;
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<HandlerPool>> pools_;
  int installs_ = 0;
};

}  // namespace sagebrush::serving
