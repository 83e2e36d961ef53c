#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "serving/backends/backend.h"
#include "serving/core/batching_parameters.h"
#include "serving/core/model_service.h"
#include "serving/core/served_version.h"

namespace sagebrush::serving {

struct ModelManagerOptions {
  std::chrono::milliseconds poll_interval{1000};  // between looks at the version directories; 0: only at Reload
  int load_threads = 2;                           // versions loaded at once
  int load_attempts = 6;                          // of a version that fails, before it is given up
  std::chrono::milliseconds retry_interval{5000};
  // Loads and unloads give way to requests once a version is served (StandBack). Only for a backend whose loads, but
  // for the first, make no threads that compute requests: those would inherit it.
  bool loads_stand_back = false;
  BatchingParameters batching;
  // Runs recorded requests (assets.extra) of a loaded version that is not yet served; may be empty. An error fails the
  // load.
  std::function<Result<void>(const std::filesystem::path& directory, const Servable& version)> replay_warmup;
};

// Loads, serves and unloads versions so that what is served follows the configuration and the directories.
//
// States of a version, the only transitions:
//   1. → START: seen in its directory and wanted by the policy
//   2. START → LOADING: a load thread takes it
//   3. LOADING → AVAILABLE: loaded and warmed up; requests find it from now on
//   4. LOADING → START: the load failed and will be tried again after the retry interval
//   5. LOADING → END (with the error): failed for the last time, or no longer wanted. A version whose graph and
//      variables are larger than the memory that is left fails (kResourceExhausted) before anything is loaded
//   6. AVAILABLE → UNLOADING: no longer wanted, and a wanted version is available or none is wanted. Requests find it
//      no more; those that hold it go on
//   7. UNLOADING → END: the last request has let go; its memory is returned to the system
//   8. START → END: no longer wanted
// A version that ended in peace and is wanted again goes to START; so does one that failed, when its directory was
// replaced or the configuration is loaded again.
//
// Threads: a control thread decides, load threads load and unload, front ends call Find from any thread. Nothing on
// disk: a restart begins anew.
class ModelManager final : public ModelService {
 public:
  // `backend`, `metrics` and `executor` outlive the manager.
  ModelManager(Backend& backend, ServingMetrics& metrics, Executor& executor, ModelManagerOptions options);
  // Waits for requests in flight to let go of their versions.
  ~ModelManager() override;

  Result<std::shared_ptr<const Servable>> Find(const ModelSpec& spec) const override;
  Result<std::vector<VersionStatus>> Status(const ModelSpec& spec) const override;
  Result<void> Reload(std::vector<ModelConfig> configs) override;
  std::vector<ModelConfig> configs() const override;
  Executor& executor() override { return executor_; }

  // Whether every configured model has a version available.
  bool AllAvailable() const;

 private:
  using Time = std::chrono::steady_clock::time_point;
  // What requests hold; its end tells the manager that the version has drained.
  struct Lease;
  struct Version {
    std::filesystem::path directory;
    std::filesystem::file_time_type directory_time;
    VersionState state = VersionState::kStart;
    std::optional<Error> error;
    int failed_attempts = 0;
    Time next_attempt;
    bool wanted = true;
    bool drained = false;
    std::shared_ptr<Lease> lease;           // while AVAILABLE
    std::unique_ptr<ServedVersion> served;  // from LOADING's end to END
  };
  struct Model {
    ModelConfig config;
    bool configured = true;
    bool listed = false;  // its directory was looked at since the last Reload
    std::optional<Error> listing_error;
    std::map<int64_t, Version> versions;
  };

  void Control();
  void ListDirectories(std::unique_lock<std::mutex>& lock);
  void Aspire(Model& model, const std::map<int64_t, std::filesystem::path>& present);
  void Decide();
  Result<void> RefuseMove(const ModelConfig& config) const;
  void StartUnloading(Model& model);
  void LoadLoop();
  bool TakeWork(std::unique_lock<std::mutex>& lock);
  bool IsServing() const;
  void Load(std::unique_lock<std::mutex>& lock, const std::string& name, int64_t number);
  void Unload(std::unique_lock<std::mutex>& lock, const std::string& name, int64_t number);
  Result<std::unique_ptr<ServedVersion>> LoadVersion(const std::string& name, int64_t number,
                                                     const std::filesystem::path& directory);
  static bool IsSettled(const Model& model);
  static const Version* NewestAvailable(const Model& model);

  Backend& backend_;
  ServingMetrics& metrics_;
  Executor& executor_;
  const ModelManagerOptions options_;

  mutable std::mutex mutex_;
  std::condition_variable control_wake_, load_wake_, settled_;
  std::map<std::string, Model, std::less<>> models_;
  bool look_now_ = false, ending_ = false;
  std::jthread control_;
  std::vector<std::jthread> loaders_;
};

}  // namespace sagebrush::serving
