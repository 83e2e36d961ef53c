#include "serving/lifecycle/model_manager.h"

#include <malloc.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "base/check.h"
#include "base/log.h"
#include "serving/lifecycle/memory_room.h"
#include "serving/lifecycle/stand_back.h"
#include "serving/lifecycle/version_directory.h"

namespace sagebrush::serving {
namespace {

// The process's resident bytes.
int64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * static_cast<int64_t>(::sysconf(_SC_PAGESIZE));
}

std::filesystem::file_time_type DirectoryTime(const std::filesystem::path& directory) {
  std::error_code ignored;
  return std::filesystem::last_write_time(directory, ignored);
}

// The version that the spec names by number or label; nullopt when it names none.
Result<std::optional<int64_t>> NumberOf(const ModelSpec& spec, const ModelConfig& config) {
  if (spec.version || spec.label.empty()) return spec.version;
  auto label = config.labels.find(spec.label);
  if (label == config.labels.end()) {
    return Fail(InvalidArgument("Unrecognized servable version label: " + spec.label));
  }
  return label->second;
}

Result<void> Validate(const std::vector<ModelConfig>& configs) {
  std::set<std::string> names;
  for (const ModelConfig& config : configs) {
    if (config.name.empty()) return Fail(InvalidArgument("A model in the configuration has no name."));
    if (!names.insert(config.name).second) {
      return Fail(InvalidArgument("The configuration has more than one model of the name " + config.name + "."));
    }
    if (!config.base_path.is_absolute()) {
      return Fail(InvalidArgument("The base path of model " + config.name + " is not absolute: '" +
                                  config.base_path.native() + "'."));
    }
  }
  return {};
}

// Better refused than ended by the kernel in the middle of its load, with all that is served.
Result<void> CheckRoom(const std::filesystem::path& directory) {
  constexpr int64_t kMib = 1024 * 1024;
  int64_t needed = SavedModelBytes(directory);
  std::optional<int64_t> available = AvailableMemory();
  if (!available || needed <= *available) return {};
  return Fail(Error(ErrorKind::kResourceExhausted,
                    fmt::format("It needs {} MiB of memory or more, and {} MiB are available: unload other models, or "
                                "serve it where there is more",
                                needed / kMib, *available / kMib)));
}

}  // namespace

struct ModelManager::Lease {
  Lease(ModelManager& manager, std::string name, int64_t number, const ServedVersion& served)
      : manager(manager), name(std::move(name)), number(number), served(served) {}
  ~Lease() {
    std::lock_guard lock(manager.mutex_);
    manager.models_.at(name).versions.at(number).drained = true;
    manager.load_wake_.notify_one();
  }
  ModelManager& manager;
  const std::string name;
  const int64_t number;
  const ServedVersion& served;
};

ModelManager::ModelManager(Backend& backend, ServingMetrics& metrics, Executor& executor, ModelManagerOptions options)
    : backend_(backend), metrics_(metrics), executor_(executor), options_(std::move(options)) {
  control_ = std::jthread([this] { Control(); });
  for (int index = 0; index < options_.load_threads; ++index) {
    loaders_.emplace_back([this] { LoadLoop(); });
  }
}

ModelManager::~ModelManager() {
  (void)Reload({});
  {
    std::unique_lock lock(mutex_);
    settled_.wait(lock, [this] {
      return std::ranges::all_of(models_, [](const auto& model) {
        return std::ranges::all_of(model.second.versions,
                                   [](const auto& version) { return version.second.state == VersionState::kEnd; });
      });
    });
    ending_ = true;
  }
  control_wake_.notify_all();
  load_wake_.notify_all();
}

const ModelManager::Version* ModelManager::NewestAvailable(const Model& model) {
  for (auto version = model.versions.rbegin(); version != model.versions.rend(); ++version) {
    if (version->second.state == VersionState::kAvailable) return &version->second;
  }
  return nullptr;
}

Result<std::shared_ptr<const Servable>> ModelManager::Find(const ModelSpec& spec) const {
  std::lock_guard lock(mutex_);
  auto model = models_.find(spec.name);
  bool known = model != models_.end();
  TRY(std::optional<int64_t> number, NumberOf(spec, known ? model->second.config : ModelConfig()));
  const Version* version = nullptr;
  if (known && !number) version = NewestAvailable(model->second);
  if (known && number) {
    auto found = model->second.versions.find(*number);
    if (found != model->second.versions.end() && found->second.state == VersionState::kAvailable) {
      version = &found->second;
    }
  }
  if (version == nullptr) {
    std::string wanted = number ? fmt::format("Specific({}, {})", spec.name, *number) : "Latest(" + spec.name + ")";
    return Fail(NotFound("Servable not found for request: " + wanted));
  }
  return std::shared_ptr<const Servable>(version->lease, &version->lease->served);
}

Result<std::vector<VersionStatus>> ModelManager::Status(const ModelSpec& spec) const {
  std::lock_guard lock(mutex_);
  auto model = models_.find(spec.name);
  std::optional<int64_t> number = spec.version;
  std::vector<VersionStatus> statuses;
  if (model != models_.end()) {
    TRY(number, NumberOf(spec, model->second.config));
    for (auto entry = model->second.versions.rbegin(); entry != model->second.versions.rend(); ++entry) {
      if (number && entry->first != *number) continue;
      statuses.push_back({entry->first, entry->second.state, entry->second.error});
    }
  }
  if (!statuses.empty()) return statuses;
  if (number) {
    return Fail(NotFound(fmt::format("Could not find version {} of model {}", *number, spec.name)));
  }
  return Fail(NotFound("Could not find any versions of model " + spec.name));
}

std::vector<ModelConfig> ModelManager::configs() const {
  std::lock_guard lock(mutex_);
  std::vector<ModelConfig> configs;
  for (const auto& [name, model] : models_) {
    if (model.configured) configs.push_back(model.config);
  }
  return configs;
}

bool ModelManager::AllAvailable() const {
  std::lock_guard lock(mutex_);
  return std::ranges::all_of(
      models_, [](const auto& model) { return !model.second.configured || NewestAvailable(model.second) != nullptr; });
}

Result<void> ModelManager::Reload(std::vector<ModelConfig> configs) {
  TRYV(Validate(configs));
  std::unique_lock lock(mutex_);
  for (const ModelConfig& config : configs) TRYV(RefuseMove(config));
  std::set<std::string> names;
  for (auto& [name, model] : models_) {
    model.configured = false;
    model.listed = false;
  }
  for (ModelConfig& config : configs) {
    names.insert(config.name);
    Model& model = models_[config.name];
    model.configured = true;
    model.config = std::move(config);
    for (auto& [number, version] : model.versions) {
      if (!version.error) continue;  // what failed is tried again
      version.failed_attempts = 0;
      version.next_attempt = {};
      version.directory_time = {};
    }
  }
  look_now_ = true;
  control_wake_.notify_all();
  settled_.wait(lock, [&] {
    return std::ranges::all_of(names, [&](const std::string& name) { return IsSettled(models_.at(name)); });
  });
  for (const std::string& name : names) {
    const Model& model = models_.at(name);
    if (NewestAvailable(model) != nullptr) continue;
    if (model.listing_error) return Fail(*model.listing_error);
    for (const auto& [number, version] : model.versions) {
      if (!version.error) continue;
      Error error = *version.error;
      return Fail(std::move(error).Because(fmt::format("Model {}, version {}, cannot be loaded", name, number)));
    }
    return Fail(NotFound("There is no version to be served of model " + name + " in " +
                         model.config.base_path.native() +
                         ": it holds no directory whose name is a number that the version policy wants."));
  }
  return {};
}

// Versions are known by their numbers, so a model that is served cannot change its directory in one step.
Result<void> ModelManager::RefuseMove(const ModelConfig& config) const {
  auto model = models_.find(config.name);
  if (model == models_.end() || model->second.config.base_path == config.base_path) return {};
  for (const auto& [number, version] : model->second.versions) {
    if (version.state == VersionState::kEnd) continue;
    return Fail(Error(ErrorKind::kFailedPrecondition,
                      fmt::format("Model {} is served from {}. To serve it from {}, load a configuration without it "
                                  "first, then this one.",
                                  config.name, model->second.config.base_path.native(), config.base_path.native())));
  }
  return {};
}

// Whether the newest aspirations have come true or failed at least once.
bool ModelManager::IsSettled(const Model& model) {
  if (!model.listed) return false;
  return std::ranges::all_of(model.versions, [](const auto& entry) {
    const Version& version = entry.second;
    return !version.wanted || version.state == VersionState::kAvailable || version.state == VersionState::kEnd ||
           (version.state == VersionState::kStart && version.failed_attempts > 0);
  });
}

void ModelManager::Control() {
  std::unique_lock lock(mutex_);
  while (!ending_) {
    look_now_ = false;
    ListDirectories(lock);
    Decide();
    settled_.notify_all();
    auto wake = [this] { return look_now_ || ending_; };
    if (options_.poll_interval.count() > 0) {
      control_wake_.wait_for(lock, options_.poll_interval, wake);
    } else {
      control_wake_.wait(lock, wake);
    }
  }
}

// Looks without the lock: a network file system may be slow.
void ModelManager::ListDirectories(std::unique_lock<std::mutex>& lock) {
  std::map<std::string, std::filesystem::path> paths;
  for (const auto& [name, model] : models_) {
    if (model.configured) paths[name] = model.config.base_path;
  }
  lock.unlock();
  std::map<std::string, Result<std::map<int64_t, std::filesystem::path>>> listings;
  for (const auto& [name, path] : paths) listings.emplace(name, ListVersions(path));
  lock.lock();
  for (auto& [name, model] : models_) {
    if (!model.configured) {
      Aspire(model, {});
      continue;
    }
    auto listing = listings.find(name);
    if (listing == listings.end() || paths[name] != model.config.base_path) {
      look_now_ = true;  // configured anew meanwhile
      continue;
    }
    model.listed = true;
    model.listing_error.reset();
    if (listing->second) {
      Aspire(model, *listing->second);
    } else {
      // What is served stays: the directory may come back, and forgetting a model for a hiccup of a disk would be
      // worse.
      model.listing_error = listing->second.error();
    }
  }
}

void ModelManager::Aspire(Model& model, const std::map<int64_t, std::filesystem::path>& present) {
  std::vector<int64_t> aspired = AspiredVersions(present, model.config.policy);
  for (auto& [number, version] : model.versions) {
    version.wanted = std::ranges::find(aspired, number) != aspired.end();
  }
  for (int64_t number : aspired) {
    const std::filesystem::path& directory = present.at(number);
    std::filesystem::file_time_type time = DirectoryTime(directory);
    auto [entry, added] = model.versions.try_emplace(number);
    Version& version = entry->second;
    bool again = version.state == VersionState::kEnd && (!version.error || version.directory_time != time);
    if (!added && !again) continue;
    version = Version{.directory = directory, .directory_time = time};
  }
}

void ModelManager::StartUnloading(Model& model) {
  bool replacement = false, any_wanted = false;
  for (const auto& [number, version] : model.versions) {
    any_wanted |= version.wanted;
    replacement |= version.wanted && version.state == VersionState::kAvailable;
  }
  if (any_wanted && !replacement) return;
  for (auto& [number, version] : model.versions) {
    if (version.wanted || version.state != VersionState::kAvailable) continue;
    version.state = VersionState::kUnloading;
    // The lease's end takes the lock: let it go on a thread that does not hold it.
  }
}

void ModelManager::Decide() {
  for (auto& [name, model] : models_) {
    StartUnloading(model);
    for (auto& [number, version] : model.versions) {
      if (version.state == VersionState::kStart && !version.wanted) version.state = VersionState::kEnd;
    }
  }
  load_wake_.notify_all();
}

bool ModelManager::IsServing() const {
  return std::ranges::any_of(models_, [](const auto& model) { return NewestAvailable(model.second) != nullptr; });
}

void ModelManager::LoadLoop() {
  std::unique_lock lock(mutex_);
  bool standing_back = false;
  while (!ending_) {
    if (options_.loads_stand_back && !standing_back && IsServing()) {
      StandBack();
      standing_back = true;
    }
    if (!TakeWork(lock)) load_wake_.wait(lock);
  }
}

// One load or unload; false when there is nothing to do now. Failed loads come back with the next poll.
bool ModelManager::TakeWork(std::unique_lock<std::mutex>& lock) {
  Time now = std::chrono::steady_clock::now();
  for (auto& [name, model] : models_) {
    for (auto version = model.versions.rbegin(); version != model.versions.rend(); ++version) {
      Version& candidate = version->second;
      if (candidate.state == VersionState::kUnloading && candidate.lease != nullptr) {
        std::shared_ptr<Lease> lease = std::move(candidate.lease);
        lock.unlock();
        lease.reset();
        lock.lock();
        return true;
      }
      if (candidate.state == VersionState::kUnloading && candidate.drained && candidate.served != nullptr) {
        Unload(lock, name, version->first);
        return true;
      }
      if (candidate.state == VersionState::kStart && candidate.wanted && now >= candidate.next_attempt) {
        candidate.state = VersionState::kLoading;
        Load(lock, name, version->first);
        return true;
      }
    }
  }
  return false;
}

Result<std::unique_ptr<ServedVersion>> ModelManager::LoadVersion(const std::string& name, int64_t number,
                                                                 const std::filesystem::path& directory) {
  TRYV(CheckRoom(directory));
  TRY(std::unique_ptr<Session> session, backend_.Load(directory));
  auto served = std::make_unique<ServedVersion>(name, number, std::move(session), options_.batching, metrics_);
  if (options_.replay_warmup) TRYV(options_.replay_warmup(directory, *served));
  served->WarmUp();
  return served;
}

// Entries of models_ and versions are never erased, so they may be found again after the lock was let go.
void ModelManager::Load(std::unique_lock<std::mutex>& lock, const std::string& name, int64_t number) {
  Version& version = models_.at(name).versions.at(number);
  std::filesystem::path directory = version.directory;
  lock.unlock();
  auto begin = std::chrono::steady_clock::now();
  int64_t resident_before = ResidentBytes();
  Result<std::unique_ptr<ServedVersion>> served = LoadVersion(name, number, directory);
  auto took = std::chrono::steady_clock::now() - begin;
  int64_t grown = std::max<int64_t>(0, ResidentBytes() - resident_before);
  metrics_.ObserveLoad(name, served.has_value(), took);
  int64_t milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(took).count();
  lock.lock();
  if (served) {
    metrics_.SetModelMemory(name, number, grown);
    Log(LogLevel::kInfo, "version_available",
        {{"model", name},
         {"version", number},
         {"backend", (*served)->backend_name()},
         {"ms", milliseconds},
         {"grown_bytes", grown}});
    version.served = *std::move(served);
    version.lease = std::make_shared<Lease>(*this, name, number, *version.served);
    version.state = VersionState::kAvailable;
  } else {
    ++version.failed_attempts;
    bool last = version.failed_attempts >= options_.load_attempts || !version.wanted;
    Log(LogLevel::kError, "version_load_failed",
        {{"model", name},
         {"version", number},
         {"attempt", version.failed_attempts},
         {"last_attempt", last},
         {"error", served.error().message}});
    version.error = std::move(served).error();
    version.state = last ? VersionState::kEnd : VersionState::kStart;
    version.next_attempt = std::chrono::steady_clock::now() + options_.retry_interval;
  }
  StartUnloading(models_.at(name));
  settled_.notify_all();
  load_wake_.notify_all();
}

void ModelManager::Unload(std::unique_lock<std::mutex>& lock, const std::string& name, int64_t number) {
  Version& version = models_.at(name).versions.at(number);
  std::unique_ptr<ServedVersion> served = std::move(version.served);
  lock.unlock();
  served.reset();
  ::malloc_trim(0);
  metrics_.SetModelMemory(name, number, 0);
  Log(LogLevel::kInfo, "version_unloaded", {{"model", name}, {"version", number}});
  lock.lock();
  version.state = VersionState::kEnd;
  version.error.reset();
  settled_.notify_all();
  control_wake_.notify_all();
}

}  // namespace sagebrush::serving
