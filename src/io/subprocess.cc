#include "io/subprocess.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
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

constexpr size_t kKeptOutputBytes = size_t{64} * 1024;
constexpr int64_t kLookMs = 200;  // between two looks at a cancellation

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

// Between fork and exec: async-signal-safe calls only. What fails is reported as errno through `failure`.
[[noreturn]] void BecomeCommand(const char* directory, char** argv, char** env, int output, int failure, pid_t parent) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (null >= 0) dup2(null, 0);
  dup2(output, 1);
  dup2(output, 2);
  if (*directory == '\0' || chdir(directory) == 0) {
    environ = env;
    execvp(argv[0], argv);
  }
  int reason = errno;
  [[maybe_unused]] ssize_t written = write(failure, &reason, sizeof reason);
  _exit(127);
}

struct Child {
  pid_t id = 0;
  UniqueFd output;
  UniqueFd exited;  // a pidfd: readable once the child has ended
};

int WaitForEnd(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

Result<std::pair<UniqueFd, UniqueFd>> MakePipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Fail(FromErrno(errno, "cannot make a pipe"));
  return std::pair(UniqueFd(ends[0]), UniqueFd(ends[1]));
}

// Returns once the program has replaced the fork: a failed exec is an error here.
Result<Child> Start(const Command& command) {
  std::vector<std::string> argv_strings = command.argv, env_strings = MergedEnvironment(command);
  std::vector<char*> argv = Pointers(argv_strings), env = Pointers(env_strings);
  TRY(auto output, MakePipe());
  TRY(auto failure, MakePipe());
  pid_t parent = getpid();
  pid_t child = fork();
  if (child < 0) return Fail(FromErrno(errno, "cannot start " + command.argv[0]));
  if (child == 0) {
    BecomeCommand(command.working_directory.c_str(), argv.data(), env.data(), output.second.get(), failure.second.get(),
                  parent);
  }
  failure.second.Reset();
  int reason = 0;
  ssize_t got = 0;
  while ((got = read(failure.first.get(), &reason, sizeof reason)) < 0 && errno == EINTR) {
  }
  if (got > 0) {
    WaitForEnd(child);
    return Fail(FromErrno(reason, "cannot start " + command.argv[0]));
  }
  UniqueFd exited(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
  if (!exited) {
    Error error = FromErrno(errno, "cannot watch " + command.argv[0]);
    kill(-child, SIGKILL);
    WaitForEnd(child);
    return Fail(std::move(error));
  }
  return Child{child, std::move(output.first), std::move(exited)};
}

void KeepEnd(std::string& output, size_t most) {
  if (output.size() > most) output.erase(0, output.size() - most);
}

void ShowLines(const Command& command, std::string& unfinished, std::string_view bytes) {
  if (!command.on_line) return;
  unfinished += bytes;
  size_t at = 0;
  for (size_t end; (end = unfinished.find('\n', at)) != std::string::npos; at = end + 1) {
    command.on_line(std::string_view(unfinished).substr(at, end - at));
  }
  unfinished.erase(0, at);
  KeepEnd(unfinished, kKeptOutputBytes);
}

bool IsCancelled(const Command& command) { return command.cancelled != nullptr && command.cancelled->load(); }

// Reads the output until the child has ended and everything that it wrote is read (a process that it left behind may
// hold the pipe open for longer). False when the deadline or a cancellation comes first.
bool ReadToTheEnd(Child& child, const Command& command, int64_t deadline_ms, std::string& output) {
  char buffer[16 * 1024];
  std::string unfinished;
  while (true) {
    int64_t left_ms = deadline_ms - MonotonicMs();
    if (left_ms <= 0 || IsCancelled(command)) return false;
    pollfd waiting[] = {{child.output.get(), POLLIN, 0}, {child.exited.get(), POLLIN, 0}};
    int ready = poll(waiting, 2, static_cast<int>(std::min<int64_t>(left_ms, kLookMs)));
    if (ready <= 0) continue;  // interrupted, or time to look at the deadline
    if (waiting[0].revents != 0) {
      ssize_t got = read(child.output.get(), buffer, sizeof buffer);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) {
        child.output.Reset();
        continue;
      }
      output.append(buffer, static_cast<size_t>(got));
      ShowLines(command, unfinished, {buffer, static_cast<size_t>(got)});
      if (output.size() > 2 * kKeptOutputBytes) KeepEnd(output, kKeptOutputBytes);
    } else if (waiting[1].revents != 0) {
      return true;
    }
  }
}

}  // namespace

Result<CommandOutcome> Run(const Command& command) {
  int64_t deadline_ms = MonotonicMs() + std::chrono::milliseconds(command.deadline).count();
  TRY(Child child, Start(command));
  CommandOutcome outcome;
  bool ended = ReadToTheEnd(child, command, deadline_ms, outcome.output);
  if (!ended) kill(-child.id, SIGKILL);
  int status = WaitForEnd(child.id);
  if (!ended && IsCancelled(command)) {
    return Fail(Error(ErrorKind::kCancelled, command.argv[0] + " was cancelled"));
  }
  if (!ended) {
    return Fail(Error(ErrorKind::kDeadlineExceeded,
                      command.argv[0] + " did not end within " + std::to_string(command.deadline.count()) + " s"));
  }
  KeepEnd(outcome.output, kKeptOutputBytes);
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return outcome;
}

}  // namespace sagebrush::io
