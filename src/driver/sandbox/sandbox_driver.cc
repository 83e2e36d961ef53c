#include "driver/sandbox/sandbox_driver.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <system_error>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/random.h"
#include "base/text.h"
#include "driver/log_spool.h"
#include "driver/sandbox/cgroup.h"
#include "driver/sandbox/connect_socket.h"
#include "driver/sandbox/sandbox.h"
#include "driver/sandbox/usage.h"
#include "driver/service_check.h"
#include "driver/spec_json.h"

extern char** environ;

namespace sagebrush::driver {
namespace {

namespace fs = std::filesystem;

constexpr char kTrashPrefix[] = ".trash-";
constexpr int kKillDeadlineMs = 5'000;  // Destroy is called again
constexpr int64_t kConnectDeadlineMs = 1'000;
constexpr int kHintsATurn = 1000;  // so that a flood of them does not keep the listening thread from its end

// An id becomes a directory's name.
Result<void> CheckId(const InstanceId& id) {
  const std::string& text = id.value();
  bool plain = !text.empty() && text.size() <= 200 && text[0] != '.' &&
               std::all_of(text.begin(), text.end(),
                           [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '.' || c == '_'; });
  if (plain) return {};
  return Fail(
      InvalidArgument("\"" + text + "\" is no instance id: only letters, digits, '-', '_' and '.' may be in it."));
}

Error Unknown(const fs::path& directory) {
  return NotFound("There is no instance " + directory.filename().native() + ".");
}

Result<void> CheckSpec(const InstanceSpec& spec) {
  if (spec.count < 1 || spec.count > 1000 || spec.rank < 0 || spec.rank >= spec.count) {
    return Fail(InvalidArgument("An instance's rank must be below its job's count, and that at most 1000."));
  }
  const Checkpoints& checkpoints = spec.checkpoints;
  std::error_code ignored;
  if (!checkpoints.directory.empty() &&
      (!checkpoints.path.is_absolute() || !fs::is_directory(checkpoints.directory, ignored))) {
    return Fail(InvalidArgument("The checkpoints need a staged directory and an absolute path inside, not " +
                                checkpoints.directory.native() + " and " + checkpoints.path.native() + "."));
  }
  TRYV(CheckService(spec));
  for (const Channel& channel : spec.channels) {
    bool plain = !channel.name.empty() && channel.name.find('/') == std::string::npos && channel.name[0] != '.';
    if (!plain) return Fail(InvalidArgument("\"" + channel.name + "\" is no channel name."));
    std::error_code error;
    if (!fs::is_directory(channel.links, error)) {
      return Fail(InvalidArgument("The channel " + channel.name + " was not staged: " + channel.links.native() +
                                  " is no directory."));
    }
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<SandboxDriver>> SandboxDriver::Open(Options options) {
  std::error_code error;
  TRYV(io::MakeDirectories(options.instances_directory, 0711));
  options.instances_directory = fs::canonical(options.instances_directory, error);
  if (error) return Fail(FromErrno(error.value(), "cannot resolve the instances' directory"));
  // MakeDirectories leaves an existing one as it is; other users have nothing to look for here.
  ::chmod(options.instances_directory.c_str(), 0711);
  std::unique_ptr<SandboxDriver> driver(new SandboxDriver(std::move(options)));
  TRYV(driver->BindHints());
  driver->RemoveTrash();
  driver->listening_ = std::thread([raw = driver.get()] { raw->Listen(); });
  return driver;
}

SandboxDriver::~SandboxDriver() {
  if (!listening_.joinable()) return;
  uint64_t one = 1;
  [[maybe_unused]] ssize_t written = ::write(wake_.get(), &one, sizeof one);
  listening_.join();
}

// --- hints ---------------------------------------------------------------------------------------------------------

Result<void> SandboxDriver::BindHints() {
  fs::path data = options_.instances_directory.parent_path();
  TRY(io::UniqueFd directory, io::Open(data, O_PATH | O_DIRECTORY));
  hints_ = io::UniqueFd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  wake_ = io::UniqueFd(::eventfd(0, EFD_CLOEXEC));
  ::unlink((data / "hints.sock").c_str());  // of the driver before this one
  sockaddr_un address = UnixAddressIn(directory.get(), "hints.sock");
  if (!hints_ || !wake_ || ::bind(hints_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return Fail(FromErrno(errno, "cannot listen at " + (data / "hints.sock").native()));
  }
  ::chmod((data / "hints.sock").c_str(), 0600);
  return {};
}

void SandboxDriver::Listen() {
  while (true) {
    pollfd waiting[] = {{hints_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    if (::poll(waiting, 2, -1) < 0 && errno != EINTR) return;
    if (waiting[1].revents != 0) return;
    char id[256];
    ssize_t got;
    std::vector<std::string> news;
    for (int i = 0; i < kHintsATurn && (got = ::recv(hints_.get(), id, sizeof id, 0)) > 0; ++i) {
      std::string text(id, static_cast<size_t>(got));
      if (std::find(news.begin(), news.end(), text) == news.end()) news.push_back(std::move(text));
    }
    std::lock_guard lock(listener_mutex_);
    for (const std::string& text : news) {
      // "<news> <id>", as agents write it.
      News kind = text.starts_with(kLogHint) ? News::kLog : News::kStatus;
      size_t space = text.find(' ');
      if (listener_ && space != std::string::npos) listener_(InstanceId(text.substr(space + 1)), kind);
    }
  }
}

void SandboxDriver::SetListener(Listener listener) {
  std::lock_guard lock(listener_mutex_);
  listener_ = std::move(listener);
}

// --- files ---------------------------------------------------------------------------------------------------------

InstanceFiles SandboxDriver::FilesOf(const InstanceId& id) const {
  return InstanceFiles{options_.instances_directory / id.value()};
}

fs::path SandboxDriver::StagingDirectory(const InstanceId& id) const { return FilesOf(id).staged(); }

std::shared_ptr<std::mutex> SandboxDriver::Guard(const InstanceId& id) {
  std::lock_guard lock(mutex_);
  std::erase_if(guards_, [](const auto& entry) { return entry.second.expired(); });
  std::shared_ptr<std::mutex> guard = guards_[id].lock();
  if (!guard) guards_[id] = guard = std::make_shared<std::mutex>();
  return guard;
}

Result<void> SandboxDriver::CheckEpoch(const InstanceFiles& files, Epoch epoch) {
  Result<std::string> text = io::ReadFile(files.epoch());
  int64_t seen = text ? ParseInt(*text).value_or(0) : 0;
  if (epoch.value < seen) {
    return Fail(Error(ErrorKind::kFailedPrecondition, "A newer engine (epoch " + std::to_string(seen) +
                                                          ") commands this instance; this one has epoch " +
                                                          std::to_string(epoch.value) + "."));
  }
  if (epoch.value == seen && text) return {};
  return io::WriteFileDurably(files.epoch(), std::to_string(epoch.value));
}

void SandboxDriver::RemoveTrash() {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(options_.instances_directory, error)) {
    if (!entry.path().filename().native().starts_with(kTrashPrefix)) continue;
    if (Result<void> removed = RemoveStubbornTree(entry.path()); !removed) {
      Log(LogLevel::kWarning, "trash_not_removed", {{"error", removed.error().message}});
    }
  }
}

// --- the contract --------------------------------------------------------------------------------------------------

std::vector<Requirement> SandboxDriver::Fingerprint() {
  return ProbeSandboxRequirements(options_.agent_binary, options_.instances_directory);
}

Result<void> SandboxDriver::Start(const InstanceSpec& spec) {
  TRYV(CheckId(spec.id));
  std::shared_ptr<std::mutex> guard = Guard(spec.id);
  std::lock_guard lock(*guard);
  InstanceFiles files = FilesOf(spec.id);
  TRYV(io::MakeDirectories(files.directory, 0700));
  TRYV(CheckEpoch(files, spec.epoch));
  if (Read(files)) return {};
  TRYV(CheckSpec(spec));
  FAILPOINT("driver.start.before_spec");
  TRYV(io::WriteFileDurably(files.spec(), SpecToJson(spec)));
  FAILPOINT("driver.start.after_spec");
  TRYV(LaunchAgent(files));
  FAILPOINT("driver.start.after_launch");
  return {};
}

Result<void> SandboxDriver::LaunchAgent(const InstanceFiles& files) {
  fs::path data = options_.instances_directory.parent_path();
  std::vector<std::string> text = {options_.agent_binary.native(),
                                   "--instance",
                                   files.directory.native(),
                                   "--uid",
                                   std::to_string(options_.uid),
                                   "--gid",
                                   std::to_string(options_.gid),
                                   "--hide",
                                   data.native(),
                                   "--hide",
                                   "/var/lib/sagebrush"};
  for (const fs::path& hidden : options_.hidden) text.insert(text.end(), {"--hide", hidden.native()});
  std::vector<char*> argv;
  for (std::string& item : text) argv.push_back(item.data());
  argv.push_back(nullptr);
  pid_t child = 0;
  int error = ::posix_spawn(&child, argv[0], nullptr, nullptr, argv.data(), environ);
  if (error != 0) return Fail(FromErrno(error, "cannot start " + text[0]));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return Fail(Error(
      ErrorKind::kUnavailable,
      text[0] + " did not start; its message is in the engine's own output and " + files.agent_log().native() + "."));
}

Result<InstanceStatus> SandboxDriver::Read(const InstanceFiles& files) {
  // The lock is looked at first: an agent writes its outcome before it lets go, so "free" and "no outcome" together
  // mean that there will be none.
  bool alive = IsLocked(files.lock());
  Result<std::string> text = io::ReadFile(files.status());
  if (!text && text.error().kind != ErrorKind::kNotFound) return Fail(std::move(text).error());
  if (!text && !alive) return Fail(Unknown(files.directory));
  InstanceStatus status;
  status.id = InstanceId(files.directory.filename());
  if (text) {
    TRY(status, StatusFromJson(*text));
  }
  if (!alive && status.phase != Phase::kEnded) status.phase = Phase::kLost;
  if (Result<std::string> epoch = io::ReadFile(files.epoch())) {
    status.epoch.value = std::max(status.epoch.value, ParseInt(*epoch).value_or(0));
  }
  return status;
}

Result<std::vector<InstanceStatus>> SandboxDriver::List() {
  std::error_code error;
  std::vector<InstanceStatus> found;
  for (const fs::directory_entry& entry : fs::directory_iterator(options_.instances_directory, error)) {
    if (!entry.is_directory(error) || entry.path().filename().native().starts_with('.')) continue;
    Result<InstanceStatus> status = Read(InstanceFiles{entry.path()});
    if (status) {
      found.push_back(std::move(*status));
    } else if (status.error().kind != ErrorKind::kNotFound) {
      return Fail(std::move(status).error());
    }
  }
  if (error) return Fail(FromErrno(error.value(), "cannot list " + options_.instances_directory.native()));
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  return found;
}

Result<InstanceStatus> SandboxDriver::Inspect(const InstanceId& id) {
  TRYV(CheckId(id));
  return Read(FilesOf(id));
}

Result<LogChunk> SandboxDriver::ReadLog(const InstanceId& id, uint64_t offset, size_t limit_bytes) {
  TRYV(CheckId(id));
  InstanceFiles files = FilesOf(id);
  std::error_code error;
  if (!fs::exists(files.status(), error) && !IsLocked(files.lock())) return Fail(Unknown(files.directory));
  return ReadLogSpool(files.log(), offset, limit_bytes);
}

Result<void> SandboxDriver::Stop(const InstanceId& id, const StopRequest& request) {
  TRYV(CheckId(id));
  std::shared_ptr<std::mutex> guard = Guard(id);
  std::lock_guard lock(*guard);
  InstanceFiles files = FilesOf(id);
  TRY(InstanceStatus status, Read(files));
  TRYV(CheckEpoch(files, request.epoch));
  std::error_code error;
  if (status.phase == Phase::kEnded || status.phase == Phase::kLost || fs::exists(files.stop(), error)) return {};
  FAILPOINT("driver.stop.before_request");
  boost::json::object stop{{"epoch", request.epoch.value}, {"reason", request.reason}};
  return io::WriteFileDurably(files.stop(), boost::json::serialize(stop));
}

Result<void> SandboxDriver::Release(const InstanceId& id, Epoch epoch) {
  TRYV(CheckId(id));
  std::shared_ptr<std::mutex> guard = Guard(id);
  std::lock_guard lock(*guard);
  InstanceFiles files = FilesOf(id);
  TRY(InstanceStatus status, Read(files));
  TRYV(CheckEpoch(files, epoch));
  std::error_code error;
  if (status.phase > Phase::kReady || fs::exists(files.release(), error)) return {};
  FAILPOINT("driver.release.before_file");
  return io::WriteFile(files.release(), "", 0600);
}

// Without a look at the instance's files, which tell no more than its agent does, and at a higher price.
Result<io::UniqueFd> SandboxDriver::Connect(const InstanceId& id, uint16_t port) {
  TRYV(CheckId(id));
  InstanceFiles files = FilesOf(id);
  Result<io::UniqueFd> connection = RequestConnection(files, port, kConnectDeadlineMs);
  if (connection) return connection;
  TRYV(Read(files));  // kNotFound
  return connection;
}

Result<InstanceUsage> SandboxDriver::Usage(const InstanceId& id) {
  TRYV(CheckId(id));
  InstanceFiles files = FilesOf(id);
  TRY(InstanceStatus status, Read(files));
  if (status.phase == Phase::kEnded || status.phase == Phase::kLost) {
    return Fail(NotFound("The instance " + id.value() + " is over."));
  }
  InstanceUsage usage;
  Cgroup::Counted counted = Cgroup::Count(Sandbox::CgroupName(files));
  if (!counted.cpu_ns || !counted.memory_bytes) {
    // The second line is the init's, once there is one.
    Result<std::string> text = io::ReadFile(files.processes());
    std::vector<std::string_view> lines = text ? Split(*text, '\n') : std::vector<std::string_view>{};
    std::optional<ProcessIdentity> init = lines.size() > 1 ? ProcessIdentity::Parse(lines[1]) : std::nullopt;
    if (init && OpenProcess(*init)) usage = UsageOfProcesses(init->pid);
  }
  usage.cpu_ns = counted.cpu_ns.value_or(usage.cpu_ns);
  usage.memory_bytes = counted.memory_bytes.value_or(usage.memory_bytes);
  usage.disk_bytes = DiskUsage(files);
  return usage;
}

Result<void> SandboxDriver::Destroy(const InstanceId& id) {
  TRYV(CheckId(id));
  std::shared_ptr<std::mutex> guard = Guard(id);
  std::lock_guard lock(*guard);
  InstanceFiles files = FilesOf(id);
  std::error_code error;
  if (!fs::exists(files.directory, error)) return {};
  // The agent first: after its death nobody adds to the list of processes.
  for (int which = 0; which < 2; ++which) {
    Result<std::string> text = io::ReadFile(files.processes());
    std::vector<std::string_view> lines = text ? Split(*text, '\n') : std::vector<std::string_view>{};
    if (lines.size() <= static_cast<size_t>(which)) continue;
    if (std::optional<ProcessIdentity> process = ProcessIdentity::Parse(lines[static_cast<size_t>(which)])) {
      TRYV(KillAndWait(*process, kKillDeadlineMs));
    }
  }
  if (IsLocked(files.lock())) {
    return Fail(Error(ErrorKind::kUnavailable, "The instance " + id.value() + " is just starting; destroy it again."));
  }
  FAILPOINT("driver.destroy.after_kill");
  Cgroup::Remove(Sandbox::CgroupName(files));
  fs::path trash = options_.instances_directory / (kTrashPrefix + RandomHex(8));
  if (::rename(files.directory.c_str(), trash.c_str()) != 0) {
    return Fail(FromErrno(errno, "cannot remove the instance " + id.value()));
  }
  FAILPOINT("driver.destroy.after_rename");
  return RemoveStubbornTree(trash);
}

}  // namespace sagebrush::driver
