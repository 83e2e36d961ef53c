#include "control/images/environment_cache.h"

#include <fcntl.h>
#include <sys/file.h>

#include <boost/json.hpp>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"
#include "control/images/horovod.h"
#include "io/file.h"
#include "io/subprocess.h"

namespace sagebrush::control {
namespace fs = std::filesystem;
namespace {

constexpr std::chrono::milliseconds kLockLook{100};
// What the driver needs that the hosted images have: paramiko to look for the other hosts, mpi4py to start the script.
constexpr std::string_view kMpiDriver[] = {"mpi4py>=4.1,<5", "paramiko>=3,<6"};

std::string ContentHash(const ImageRecipe& recipe, const PythonInterpreter& python) {
  std::string text = "v2\n" + python.executable.string() + "\n" + python.version + "\n";
  for (const std::string& requirement : recipe.requirements) text += requirement + "\n";
  return HexEncode(Sha256(text)).substr(0, 24);
}

std::string Joined(const std::vector<std::string>& parts) {
  std::string out;
  for (const std::string& part : parts) out += (out.empty() ? "" : " ") + part;
  return out;
}

// The lines of uv's output that say why, without progress lines.
std::string Cause(const std::string& output) {
  std::string kept;
  for (std::string_view line : Split(output, '\n')) {
    std::string_view text = Trim(line);
    if (text.empty() || text.starts_with("Using Python") || text.starts_with("Resolved") ||
        text.starts_with("Downloading") || text.starts_with("warning:")) {
      continue;
    }
    kept += (kept.empty() ? "" : " ") + std::string(text);
  }
  return kept.size() > 600 ? kept.substr(0, 600) + "…" : kept;
}

Error Stopping() { return Error(ErrorKind::kCancelled, "the engine is stopping"); }

}  // namespace

EnvironmentCache::EnvironmentCache(ImageCatalog catalog, Options options)
    : catalog_(std::move(catalog)), options_(std::move(options)) {}

EnvironmentCache::~EnvironmentCache() {
  BeginStop();
  std::map<ImageRequest, std::unique_ptr<Build>> builds;
  {
    std::lock_guard lock(mutex_);
    builds.swap(builds_);
  }
  for (auto& [image, build] : builds) {
    if (build->thread.joinable()) build->thread.join();
  }
}

void EnvironmentCache::BeginStop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;  // ends uv, too
  }
  stop_.notify_all();
}

EnvironmentCache::State EnvironmentCache::Ensure(const ImageRequest& image) {
  std::lock_guard lock(mutex_);
  auto found = builds_.find(image);
  if (found != builds_.end()) return found->second->state;
  if (stopping_) return {};
  auto build = std::make_unique<Build>();
  build->thread = std::thread([this, image] { RunBuild(image); });
  return builds_.emplace(image, std::move(build)).first->second->state;
}

void EnvironmentCache::Forget(const ImageRequest& image) {
  std::unique_ptr<Build> forgotten;
  {
    std::lock_guard lock(mutex_);
    auto found = builds_.find(image);
    if (found == builds_.end() || found->second->state.phase != State::Phase::kFailed) return;
    forgotten = std::move(found->second);
    builds_.erase(found);
  }
  if (forgotten->thread.joinable()) forgotten->thread.join();
}

void EnvironmentCache::RunBuild(ImageRequest image) {
  int64_t begun_ms = MonotonicMs();
  Result<driver::Environment> made = Make(image);
  if (stopping_) return;  // a build that was cancelled has not failed: the next engine makes it
  State state;
  if (made) {
    state.phase = State::Phase::kReady;
    state.environment = *std::move(made);
    Log(LogLevel::kInfo, "image_ready",
        {{"image", image.uri}, {"venv", state.environment.venv.string()}, {"ms", MonotonicMs() - begun_ms}});
  } else {
    state.phase = State::Phase::kFailed;
    state.failure = made.error().message;
    Log(LogLevel::kWarning, "image_failed", {{"image", image.uri}, {"error", state.failure}});
  }
  {
    std::lock_guard lock(mutex_);
    auto found = builds_.find(image);
    if (found == builds_.end()) return;  // stopping since
    state.progress = std::move(found->second->state.progress);
    found->second->state = std::move(state);
  }
  if (options_.on_change) options_.on_change();
}

void EnvironmentCache::Tell(const ImageRequest& image, std::string line) {
  Log(LogLevel::kInfo, "image_progress", {{"image", image.uri}, {"said", line}});
  std::lock_guard lock(mutex_);
  auto found = builds_.find(image);
  if (found != builds_.end()) found->second->state.progress.push_back(std::move(line));
}

const std::vector<PythonInterpreter>& EnvironmentCache::Interpreters() {
  std::call_once(interpreters_found_, [this] { interpreters_ = FindPythonInterpreters({}, &stopping_); });
  return interpreters_;
}

Result<driver::Environment> EnvironmentCache::Make(const ImageRequest& image) {
  Result<ImageRecipe> recipe = catalog_.Find(image.uri);
  if (!recipe) return Fail(Error(ErrorKind::kInvalidArgument, "ClientError: " + recipe.error().message));
  if (image.mpi) {
    recipe->requirements.insert(recipe->requirements.end(), recipe->mpi_requirements.begin(),
                                recipe->mpi_requirements.end());
  }
  if (image.mpi_driver) {
    recipe->requirements.insert(recipe->requirements.end(), std::begin(kMpiDriver), std::end(kMpiDriver));
  }
  auto say = [this, &image](std::string line) { Tell(image, std::move(line)); };
  std::vector<PythonInterpreter> candidates = ByNearness(Interpreters(), recipe->python);
  if (candidates.empty()) {
    return Fail(Error(ErrorKind::kUnavailable,
                      "no Python 3 with the venv module was found on this machine: install "
                      "one (apt-get install python3-venv)"));
  }
  std::string reasons;
  for (const PythonInterpreter& python : candidates) {
    Result<driver::Environment> made = MakeWith(*recipe, python, say);
    if (made) {
      made->note = recipe->note;
      if (!recipe->python.empty() && python.minor() != recipe->python) {
        made->note += (made->note.empty() ? "" : " ") + std::string("this image asks for Python ") + recipe->python +
                      ", which is not installed or has no such packages; running on Python " + python.version + ".";
      }
      return made;
    }
    reasons += (reasons.empty() ? "" : "; ") + std::string("Python ") + python.version + ": " + made.error().message;
    if (made.error().kind != ErrorKind::kFailedPrecondition) break;  // another Python would not help
  }
  if (reasons.size() > 800) reasons = reasons.substr(0, 800) + "…";
  return Fail(Error(ErrorKind::kInvalidArgument, "ClientError: the environment of image '" + image.uri + "' (" +
                                                     Joined(recipe->requirements) +
                                                     ") cannot be made on this machine. " + reasons));
}

// Another engine may hold the lock for as long as an installation takes, and the kernel tells nobody when it lets go.
Result<io::UniqueFd> EnvironmentCache::Lock(const fs::path& file) {
  TRY(io::UniqueFd fd, io::Open(file, O_RDWR | O_CREAT, 0644));
  while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return Fail(FromErrno(errno, "cannot lock " + file.string()));
    std::unique_lock lock(mutex_);
    if (stop_.wait_for(lock, kLockLook, [this] { return stopping_.load(); })) return Fail(Stopping());
  }
  return fd;
}

Result<driver::Environment> EnvironmentCache::MakeWith(const ImageRecipe& recipe, const PythonInterpreter& python,
                                                       const Say& say) {
  std::string hash = ContentHash(recipe, python);
  fs::path folder = options_.directory / hash;
  driver::Environment environment{folder / "venv", {}, ""};
  if (python.prefix != "/usr" && python.prefix != "/") environment.read_only.push_back(python.prefix);
  std::error_code ignored;
  if (fs::exists(folder / "environment.json", ignored)) return environment;

  TRYV(io::MakeDirectories(options_.directory));
  TRY(io::UniqueFd lock, Lock(options_.directory / (hash + ".lock")));
  if (fs::exists(folder / "environment.json", ignored)) return environment;
  TRYV(io::RemoveTree(folder));
  TRYV(io::MakeDirectories(folder));
  Result<void> installed = Install(folder, recipe, python, say);
  if (!installed) {
    static_cast<void>(io::RemoveTree(folder));
    return Fail(installed.error());
  }
  boost::json::object record{{"python", python.version}, {"requirements", Joined(recipe.requirements)}};
  TRYV(io::WriteFileDurably(folder / "environment.json", boost::json::serialize(record), 0644));
  return environment;
}

Result<void> EnvironmentCache::Install(const fs::path& folder, const ImageRecipe& recipe,
                                       const PythonInterpreter& python, const Say& say) {
  // Jobs write no bytecode (what they could write would be gone with them), so it is made here, once.
  // --seed: scripts and requirements.txt expect pip in the image.
  io::Command make{{options_.uv, "--no-config", "venv", "--quiet", "--seed", "--python", python.executable.string(),
                    (folder / "venv").string()}};
  make.environment = {{"UV_CACHE_DIR", (options_.directory / "uv-cache").string()}, {"UV_PYTHON_DOWNLOADS", "never"}};
  make.cancelled = &stopping_;
  io::Command install = make;
  install.argv = {options_.uv,
                  "--no-config",
                  "pip",
                  "install",
                  "--quiet",
                  "--no-build",
                  "--compile-bytecode",
                  "--python",
                  (folder / "venv/bin/python").string()};
  std::string horovod;  // there are no wheels of it, and no other package is built from source
  for (const std::string& requirement : recipe.requirements) {
    bool ours = requirement.starts_with("horovod==");
    if (ours) horovod = requirement.substr(requirement.find("==") + 2);
    if (!ours) install.argv.push_back(requirement);
  }
  for (const io::Command* step : {&make, &install}) {
    if (step == &install && recipe.requirements.size() == (horovod.empty() ? 0u : 1u)) break;
    Log(LogLevel::kInfo, "image_step", {{"command", Joined(step->argv)}});
    Result<io::CommandOutcome> outcome = io::Run(*step);
    if (!outcome) {
      return Fail(std::move(outcome).error().Because("uv, which makes environments ('sagebrush doctor' checks it)"));
    }
    if (outcome->exit_code != 0) return Fail(Error(ErrorKind::kFailedPrecondition, Cause(outcome->output)));
  }
  if (horovod.empty()) return {};
  return InstallHorovod({horovod, folder / "venv/bin/python", options_.directory / "wheels", options_.wheels,
                         options_.uv, make.environment, &stopping_, say});
}

}  // namespace sagebrush::control
