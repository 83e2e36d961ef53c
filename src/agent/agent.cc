#include "agent/agent.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "agent/instance.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "driver/spec_json.h"

namespace sagebrush::agent {
namespace {

// Cuts every tie to the process that started this one: terminal, session, working directory, streams.
void Detach(const driver::InstanceFiles& files) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  ::prctl(PR_SET_NAME, "sagebrush-agent");
  for (int signal : {SIGHUP, SIGINT, SIGTERM, SIGPIPE}) ::signal(signal, SIG_IGN);
  ::umask(022);
  int null = ::open("/dev/null", O_RDWR);
  int log = ::open(files.agent_log().c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  ::dup2(null, 0);
  ::dup2(null, 1);
  ::dup2(log >= 0 ? log : null, 2);
  if (null > 2) ::close(null);
  if (log > 2) ::close(log);
  if (::chdir("/") != 0) Log(LogLevel::kWarning, "chdir_failed");
}

[[noreturn]] void Supervise(const AgentOptions& options, driver::InstanceSpec spec) {
  driver::InstanceFiles files{options.instance_directory};
  Detach(files);
  std::string identity = driver::ProcessIdentity::Of(::getpid()).ToString() + "\n";
  if (Result<void> written = io::WriteFile(files.processes(), identity, 0600); !written) {
    Log(LogLevel::kError, "agent_failed", {{"error", written.error().message}});
    ::_exit(1);
  }
  Instance(options, std::move(spec)).Run();
  ::_exit(0);
}

int Complain(const Error& error) {
  std::fprintf(stderr, "sagebrush-agent: %s\n", error.message.c_str());
  return 1;
}

}  // namespace

int RunAgent(const AgentOptions& options) {
  driver::InstanceFiles files{options.instance_directory};
  Result<io::UniqueFd> lock = driver::TryLock(files.lock());
  if (!lock && lock.error().kind == ErrorKind::kFailedPrecondition) return 0;  // another agent has it: it runs
  if (!lock) return Complain(lock.error());
  struct stat status{};
  if (::stat(files.status().c_str(), &status) == 0) return 0;  // it ran before
  Result<std::string> text = io::ReadFile(files.spec());
  if (!text) return Complain(text.error());
  Result<driver::InstanceSpec> spec = driver::SpecFromJson(*text);
  if (!spec) return Complain(spec.error());
  FAILPOINT("agent.before_fork");
  // The lock belongs to the open file, which the grandchild shares: it is held without a gap.
  pid_t child = ::fork();
  if (child < 0) return Complain(FromErrno(errno, "cannot fork"));
  if (child > 0) {
    int ended = 0;
    while (::waitpid(child, &ended, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(ended) ? WEXITSTATUS(ended) : 1;
  }
  ::setsid();
  pid_t grandchild = ::fork();
  if (grandchild != 0) ::_exit(grandchild < 0 ? 1 : 0);
  lock->Release();  // open until this process ends
  Supervise(options, std::move(*spec));
}

}  // namespace sagebrush::agent
