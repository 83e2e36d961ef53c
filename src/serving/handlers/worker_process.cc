#include "serving/handlers/worker_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "serving/handlers/worker_source.h"
#include "serving/invocations/hosting_options.h"

namespace sagebrush::serving {
namespace {

constexpr int kEndMs = 1000;
constexpr int kWorkerSocket = 3;  // as sagebrush_handler_worker.py expects

std::vector<std::string> WorkerEnvironment(const WorkerCommand& command) {
  Environment environment = ProcessEnvironment();
  std::string path;
  for (const std::filesystem::path& folder : command.python_path) path += folder.string() + ":";
  if (path.ends_with(':')) path.pop_back();
  std::string& inherited = environment["PYTHONPATH"];
  if (!inherited.empty()) path += (path.empty() ? "" : ":") + inherited;
  inherited = path;
  std::vector<std::string> variables;
  for (const auto& [name, value] : environment) variables.push_back(name + "=" + value);
  return variables;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// posix_spawn's attributes: a group of its own, no signal blocked or ignored, and only the standard descriptors and
// the socket.
class SpawnPlan {
 public:
  SpawnPlan(int socket, const std::string& directory) {
    posix_spawnattr_init(&attributes_);
    posix_spawn_file_actions_init(&actions_);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_addopen(&actions_, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions_, socket, kWorkerSocket);
    posix_spawn_file_actions_addclosefrom_np(&actions_, kWorkerSocket + 1);
    if (!directory.empty()) posix_spawn_file_actions_addchdir_np(&actions_, directory.c_str());
  }
  ~SpawnPlan() {
    posix_spawnattr_destroy(&attributes_);
    posix_spawn_file_actions_destroy(&actions_);
  }
  SpawnPlan(const SpawnPlan&) = delete;

  Result<pid_t> Spawn(std::vector<std::string> argv, std::vector<std::string> environment) {
    pid_t id = 0;
    int reason = posix_spawnp(&id, argv[0].c_str(), &actions_, &attributes_, Pointers(argv).data(),
                              Pointers(environment).data());
    if (reason != 0) {
      return Fail(
          FromErrno(reason, "cannot start the handlers' interpreter " + argv[0] + " (name another one with --python)"));
    }
    return id;
  }

 private:
  posix_spawnattr_t attributes_;
  posix_spawn_file_actions_t actions_;
};

}  // namespace

Result<std::unique_ptr<WorkerProcess>> WorkerProcess::Start(const WorkerCommand& command) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return Fail(FromErrno(errno, "cannot make a socket for a handler's process"));
  }
  io::UniqueFd ours(ends[0]), theirs(ends[1]);
  ::fcntl(ours.get(), F_SETFL, O_NONBLOCK);
  SpawnPlan plan(theirs.get(), command.directory.string());
  std::vector<std::string> argv{
      command.python, "-u", "-c", std::string(WorkerSource()), command.script.string(), std::to_string(getpid())};
  TRY(pid_t id, plan.Spawn(std::move(argv), WorkerEnvironment(command)));
  io::UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, id, 0)));
  auto process = std::unique_ptr<WorkerProcess>(new WorkerProcess(id, std::move(ours), std::move(pidfd)));
  if (!process->pidfd_) return Fail(FromErrno(errno, "cannot watch a handler's process"));
  return process;
}

bool WorkerProcess::ended() const {
  pollfd waiting{pidfd_.get(), POLLIN, 0};
  return reaped_ || ::poll(&waiting, 1, 0) == 1;
}

std::string WorkerProcess::Kill() {
  CHECK(!reaped_);
  ::kill(-id_, SIGKILL);
  int status = 0;
  while (::waitpid(id_, &status, 0) < 0 && errno == EINTR) {
  }
  reaped_ = true;
  if (!WIFSIGNALED(status)) return "exit code " + std::to_string(WEXITSTATUS(status));
  return "signal " + std::to_string(WTERMSIG(status)) + " (" + ::strsignal(WTERMSIG(status)) + ")";
}

WorkerProcess::~WorkerProcess() {
  if (reaped_) return;
  socket_.Reset();
  pollfd waiting{pidfd_.get(), POLLIN, 0};
  if (pidfd_) ::poll(&waiting, 1, kEndMs);
  Kill();
}

}  // namespace sagebrush::serving
