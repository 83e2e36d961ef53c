#include "io/subprocess.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>

#include "base/clock.h"
#include "io/file.h"

extern char** environ;

namespace sagebrush::io {
namespace {

constexpr size_t kKeptOutputBytes = 64 * 1024;

std::vector<std::string> MergedEnvironment(const Command& command) {
  std::map<std::string, std::string> merged;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const char* equals = std::strchr(*entry, '=');
    if (equals != nullptr) merged[std::string(*entry, static_cast<size_t>(equals - *entry))] = equals + 1;
  }
  for (const auto& [key, value] : command.environment) merged[key] = value;
  std::vector<std::string> out;
  for (const auto& [key, value] : merged) out.push_back(key + "=" + value);
  return out;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& text : strings) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Between fork and exec: async-signal-safe calls only.
[[noreturn]] void BecomeCommand(const char* directory, char** argv, char** env, int output, pid_t parent) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  int null = open("/dev/null", O_RDONLY);
  dup2(null, 0);
  dup2(output, 1);
  dup2(output, 2);
  if (*directory != '\0' && chdir(directory) != 0) _exit(127);
  environ = env;
  execvp(argv[0], argv);
  _exit(127);
}

}  // namespace

Result<CommandOutcome> Run(const Command& command) {
  std::vector<std::string> argv_strings = command.argv, env_strings = MergedEnvironment(command);
  std::vector<char*> argv = Pointers(argv_strings), env = Pointers(env_strings);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Fail(FromErrno(errno, "cannot make a pipe"));
  UniqueFd reader(ends[0]), writer(ends[1]);
  pid_t parent = getpid();
  pid_t child = fork();
  if (child < 0) return Fail(FromErrno(errno, "cannot start " + command.argv[0]));
  if (child == 0) BecomeCommand(command.working_directory.c_str(), argv.data(), env.data(), writer.get(), parent);
  writer.Reset();

  CommandOutcome outcome;
  int64_t deadline_ms = MonotonicMs() + std::chrono::milliseconds(command.deadline).count();
  bool late = false, cancelled = false;
  char buffer[16 * 1024];
  while (true) {
    pollfd waiting{reader.get(), POLLIN, 0};
    int64_t left_ms = deadline_ms - MonotonicMs();
    cancelled = command.cancelled != nullptr && command.cancelled->load();
    late = left_ms <= 0;
    if (late || cancelled) {
      kill(-child, SIGKILL);
      break;
    }
    int ready = poll(&waiting, 1, static_cast<int>(std::min<int64_t>(left_ms, 200)));
    if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
    ssize_t got = read(reader.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    outcome.output.append(buffer, static_cast<size_t>(got));
    if (outcome.output.size() > 2 * kKeptOutputBytes) outcome.output.erase(0, outcome.output.size() - kKeptOutputBytes);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (cancelled) return Fail(Error(ErrorKind::kCancelled, command.argv[0] + " was cancelled"));
  if (late) {
    return Fail(Error(ErrorKind::kDeadlineExceeded, command.argv[0] + " did not end within " +
                                                        std::to_string(command.deadline.count()) + " s"));
  }
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return outcome;
}

}  // namespace sagebrush::io
