#pragma once

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "control/images/image_catalog.h"
#include "control/images/python_interpreters.h"
#include "driver/driver.h"

namespace sagebrush::control {

// An image as one job uses it.
struct ImageRequest {
  std::string uri;
  bool mpi = false;         // with the packages for MPI
  bool mpi_driver = false;  // and with those that the SDK's own MPI driver (version 3) imports

  auto operator<=>(const ImageRequest&) const = default;
};

// The Python environments that images stand for, made with uv at first use and kept by content: the folder's name is
// the hash of the interpreter and the requirement set, so that two URIs that mean the same share one.
//
// Threads: one builder thread per environment being made; Ensure never blocks on a build. Crash behaviour: a folder
// without environment.json (written last) is a torn build and is made anew; a lock file keeps two engines that share
// the cache from building the same one at once.
class EnvironmentCache {
 public:
  struct Options {
    std::filesystem::path directory;
    std::string uv = "uv";  // program, looked up in PATH
    uid_t owner_uid = 0;    // programs see the environment as owned by root inside; see driver/sandbox
    gid_t owner_gid = 0;
    std::filesystem::path wheels;     // prebuilt ones, taken where they fit; "" for none
    std::function<void()> on_change;  // called from a builder thread when a build has ended
  };

  EnvironmentCache(ImageCatalog catalog, Options options);
  ~EnvironmentCache();  // cancels the builds under way and waits for them
  void BeginStop();     // cancels them, and returns at once
  EnvironmentCache(const EnvironmentCache&) = delete;
  EnvironmentCache& operator=(const EnvironmentCache&) = delete;

  struct State {
    enum class Phase { kPreparing, kReady, kFailed } phase = Phase::kPreparing;
    driver::Environment environment;    // in kReady
    std::string failure;                // in kFailed: for the job's FailureReason
    std::vector<std::string> progress;  // what takes long, for the job's log; lines are only ever added
  };
  // The environment of an image; starts making it when it is not there. A failure is reported once to each caller that
  // waited for it; the next Ensure after `Forget` tries again.
  State Ensure(const ImageRequest& image);
  void Forget(const ImageRequest& image);
  // What the catalogue says of an image; kNotFound for one that it does not know.
  Result<ImageRecipe> Find(std::string_view image_uri) const { return catalog_.Find(image_uri); }

 private:
  struct Build {
    State state;
    std::thread thread;
  };
  // Says on, for the log of the jobs that wait.
  using Say = std::function<void(std::string)>;
  void RunBuild(ImageRequest image);
  void Tell(const ImageRequest& image, std::string line);
  Result<driver::Environment> Make(const ImageRequest& image);
  Result<driver::Environment> MakeWith(const ImageRecipe& recipe, const PythonInterpreter& python, const Say& say);
  Result<void> Install(const std::filesystem::path& folder, const ImageRecipe& recipe, const PythonInterpreter& python,
                       const Say& say);
  const std::vector<PythonInterpreter>& Interpreters();
  // Held over a build so that two engines sharing the cache do not make the same environment at once. kCancelled when
  // this one stops first.
  Result<io::UniqueFd> Lock(const std::filesystem::path& file);

  const ImageCatalog catalog_;
  const Options options_;
  std::once_flag interpreters_found_;
  std::vector<PythonInterpreter> interpreters_;
  std::mutex mutex_;
  std::atomic<bool> stopping_ = false;                     // changes under mutex_
  std::condition_variable stop_;                           // tells of it
  std::map<ImageRequest, std::unique_ptr<Build>> builds_;  // guarded by mutex_
};

}  // namespace sagebrush::control
