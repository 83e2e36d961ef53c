#include "driver/sandbox/init.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>

#include "base/text.h"
#include "driver/sandbox/login_environment.h"
#include "driver/sandbox/netlink.h"
#include "driver/sandbox/privileges.h"
#include "driver/sandbox/user_namespace.h"

namespace sagebrush::driver {
namespace {

namespace json = boost::json;

void CloseAllBut(std::vector<int> kept) {
  std::sort(kept.begin(), kept.end());
  unsigned from = 3;
  for (int fd : kept) {
    if (fd < 0 || static_cast<unsigned>(fd) < from) continue;
    if (static_cast<unsigned>(fd) > from) ::close_range(from, static_cast<unsigned>(fd) - 1, 0);
    from = static_cast<unsigned>(fd) + 1;
  }
  ::close_range(from, ~0u, 0);
}

Result<void> BuildNetwork(const InitPlan& plan) {
  TRY(Netlink netlink, Netlink::Open());
  netlink.Raise(1);
  // Alone, an instance is its own switch, so that eth0 and its address are there as ever.
  if (plan.count <= 1) netlink.AddVeth("switch0", 0, "eth0", -1);
  TRYV(netlink.Send("cannot set up the instance's network"));
  int eth0 = netlink.InterfaceIndex("eth0");
  if (eth0 == 0) return Fail(Error(ErrorKind::kUnavailable, "The instance has no network interface eth0."));
  netlink.AddAddress(eth0, 0x0A4D0000u + static_cast<uint32_t>(plan.rank + 1), 16);
  netlink.Raise(eth0);
  return netlink.Send("cannot set up eth0");
}

// Root inside owns no network namespace, so the privileged ports are opened to all of it instead.
void OpenLowPorts() {
  Result<io::UniqueFd> fd = io::Open("/proc/sys/net/ipv4/ip_unprivileged_port_start", O_WRONLY);
  if (fd) static_cast<void>(io::WriteAll(fd->get(), "0"));
}

Result<io::UniqueFd> ListenForEngine() {
  io::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(kEnginePort);
  ::inet_pton(AF_INET, kEngineAddress, &address.sin_addr);
  if (!fd || ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(fd.get(), 128) != 0) {
    return Fail(FromErrno(errno, "cannot listen at the engine's address inside the instance"));
  }
  return fd;
}

// An abstract address belongs to the instance's network namespace: nothing outside of it can connect.
Result<io::UniqueFd> ListenForRemoteShell() {
  io::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, kRemoteShellAddress, sizeof kRemoteShellAddress - 1);
  auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + sizeof kRemoteShellAddress);
  if (!fd || ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length) != 0 || ::listen(fd.get(), 128) != 0) {
    return Fail(FromErrno(errno, "cannot listen for the remote shell inside the instance"));
  }
  return fd;
}

// The parent in the text of /proc/<pid>/stat: "<pid> (<name>) <state> <parent> …"; 0 for none.
int64_t ParentIn(std::string_view stat) {
  size_t name_end = stat.rfind(") ");
  if (name_end == std::string_view::npos) return 0;
  std::vector<std::string_view> fields = Split(stat.substr(name_end + 2), ' ');
  return fields.size() > 1 ? ParseInt(fields[1]).value_or(0) : 0;
}

// The programs that mpirun and its daemons run here, each the parent of whatever it started itself.
std::vector<pid_t> Ranks() {
  std::vector<pid_t> ranks;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    std::optional<int64_t> pid = ParseInt(entry.path().filename().native());
    if (!pid || *pid <= 1) continue;
    Result<std::string> stat = io::ReadFile(entry.path() / "stat");
    int64_t parent = stat ? ParentIn(*stat) : 0;
    if (parent <= 1) continue;
    Result<std::string> name = io::ReadFile("/proc/" + std::to_string(parent) + "/comm");
    bool launcher = name && (name->starts_with("mpirun") || name->starts_with("orterun") || *name == "orted\n");
    if (launcher) ranks.push_back(static_cast<pid_t>(*pid));
  }
  return ranks;
}

Result<void> GiveUpRoot(const InitPlan& plan) {
  if (plan.user_namespace >= 0) {
    if (::setns(plan.user_namespace, CLONE_NEWUSER) != 0) {
      return Fail(FromErrno(errno, "cannot enter the instance's user namespace"));
    }
    if (::setgroups(0, nullptr) != 0 || ::setresgid(0, 0, 0) != 0 || ::setresuid(0, 0, 0) != 0) {
      return Fail(FromErrno(errno, "cannot become the instance's root"));
    }
  } else {
    TRYV(EnterOwnUserNamespace(0));
  }
  // Both are reset by a change of user. A program must not look into or stop PID 1, nor PID 1 outlive the agent.
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  return {};
}

void SetLimits(const InitPlan& plan) {
  rlimit none{0, 0}, files{};
  ::setrlimit(RLIMIT_CORE, &none);
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  if (plan.pids_limit > 0) {
    rlimit processes{static_cast<rlim_t>(plan.pids_limit), static_cast<rlim_t>(plan.pids_limit)};
    ::setrlimit(RLIMIT_NPROC, &processes);
  }
}

class Init {
 public:
  explicit Init(const InitPlan& plan) : plan_(plan), control_(io::UniqueFd(plan.control)) {}

  Result<void> Build() {
    TRYV(plan_.tree->Mount());
    std::string host = "algo-" + std::to_string(plan_.rank + 1);
    if (::sethostname(host.data(), host.size()) != 0) return Fail(FromErrno(errno, "cannot set the host name"));
    if (!WaitForGo()) ::_exit(1);
    TRYV(BuildNetwork(plan_));
    OpenLowPorts();
    RootTree::Mask();
    TRY(io::UniqueFd engine, ListenForEngine());
    TRY(io::UniqueFd remote_shell, ListenForRemoteShell());
    TRYV(GiveUpRoot(plan_));
    SetLimits(plan_);
    return control_.Send({{"event", "ready"}}, {engine.get(), remote_shell.get()});
  }

  [[noreturn]] void Serve() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGTERM);
    ::sigprocmask(SIG_BLOCK, &signals, nullptr);
    io::UniqueFd arrivals(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
    while (true) {
      while (auto request = control_.Next()) Handle(*request);
      pollfd waiting[] = {{control_.fd(), POLLIN, 0}, {arrivals.get(), POLLIN, 0}};
      if (::poll(waiting, 2, -1) < 0) continue;
      if (waiting[1].revents != 0) TakeSignals(arrivals.get());
      if (waiting[0].revents != 0 && !control_.Receive()) ::_exit(1);  // the agent is gone
    }
  }

  Result<void> ReportFailure(const Error& error) {
    return control_.Send({{"event", "failed"}, {"message", error.message}});
  }

 private:
  bool WaitForGo() {
    while (!control_.Next()) {
      if (!control_.Receive()) return false;
    }
    return true;
  }

  void TakeSignals(int fd) {
    signalfd_siginfo info{};
    while (::read(fd, &info, sizeof info) == sizeof info) {
      if (info.ssi_signo == SIGTERM && current_ > 0) ::kill(-current_, SIGTERM);
    }
    Reap(WNOHANG);
  }

  void Reap(int options) {
    int status = 0;
    pid_t child;
    while ((child = ::waitpid(-1, &status, options)) > 0 || (child < 0 && errno == EINTR)) {
      if (child <= 0) continue;
      if (child == companion_) {
        companion_ = 0;
        static_cast<void>(control_.Send({{"event", "companion_ended"}, {"status", status}}));
      } else if (child == current_) {
        current_ = 0;
        static_cast<void>(control_.Send({{"event", "ended"}, {"status", status}}));
      } else if (auto remote = remotes_.find(child); remote != remotes_.end()) {
        int64_t id = remote->second;
        remotes_.erase(remote);
        static_cast<void>(control_.Send({{"event", "remote_ended"}, {"id", id}, {"status", status}}));
      }
    }
  }

  void Handle(const json::object& request) {
    const json::value* kind = request.if_contains("kind");
    std::string_view name = kind != nullptr && kind->is_string() ? std::string_view(kind->get_string()) : "";
    if (name == "signal" || name == "signal_ranks" || name == "signal_remote") {
      Signal(request, name);
    } else if (name == "kill_all") {
      // Whoever forks meanwhile is caught by the next round; none is left when there is no child.
      while (::kill(-1, SIGKILL) == 0) Reap(0);
      Reap(0);
      static_cast<void>(control_.Send({{"event", "quiet"}}));
    } else if (name == "exec" || name == "companion") {
      Launch(request, true, name == "exec" ? current_ : companion_);
    } else if (name == "task") {
      Launch(request, false, current_);
    } else if (name == "remote") {
      LaunchRemote(request);
    }
  }

  void Signal(const json::object& request, std::string_view name) {
    int signal = static_cast<int>(request.at("signal").as_int64());
    if (name == "signal_remote") {
      for (const auto& [pid, id] : remotes_) {
        if (id == request.at("id").as_int64()) ::kill(-pid, signal);
      }
      return;
    }
    // mpirun itself would give its programs a second after SIGTERM.
    std::vector<pid_t> ranks = name == "signal_ranks" ? Ranks() : std::vector<pid_t>{};
    for (pid_t rank : ranks) ::kill(rank, signal);
    if (ranks.empty() && current_ > 0) ::kill(-current_, signal);
  }

  void LaunchRemote(const json::object& request) {
    int64_t id = request.at("id").as_int64();
    std::array<io::UniqueFd, 3> streams;
    for (io::UniqueFd& stream : streams) stream = control_.TakeDescriptor();
    pid_t child = ::fork();
    if (child < 0) {
      static_cast<void>(control_.Send({{"event", "remote_ended"}, {"id", id}, {"status", 255 << 8}}));
    } else if (child > 0) {
      remotes_[child] = id;
    } else {
      EnterProgramState({streams[0].get(), streams[1].get(), streams[2].get()});
      Exec(request, true);
    }
  }

  void Launch(const json::object& request, bool exec, pid_t& launched) {
    pid_t child = ::fork();
    if (child < 0) {
      static_cast<void>(control_.Send({{"event", "failed"}, {"message", FromErrno(errno, "cannot fork").message}}));
    } else if (child > 0) {
      launched = child;
    } else {
      int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
      EnterProgramState({null, plan_.log, plan_.log});
      exec ? Exec(request, false) : RunTask(request);
    }
  }

  [[noreturn]] void Die(std::string message) {
    message += "\n";
    static_cast<void>(io::WriteAll(2, message));
    ::_exit(127);
  }

  void EnterProgramState(const std::array<int, 3>& streams) {
    ::setsid();
    for (int i = 0; i < 3; ++i) ::dup2(streams[static_cast<size_t>(i)], i);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    for (int signal : {SIGPIPE, SIGTERM, SIGINT, SIGHUP, SIGCHLD}) ::signal(signal, SIG_DFL);
  }

  [[noreturn]] void Exec(const json::object& request, bool login) {
    if (Result<void> joined = plan_.cgroup->Join(); !joined) Die(joined.error().message);
    std::vector<std::string> argv_text, env_text;
    for (const json::value& item : request.at("argv").as_array()) argv_text.emplace_back(item.as_string());
    for (const json::value& item : request.at("env").as_array()) env_text.emplace_back(item.as_string());
    std::string directory(request.at("cwd").as_string());
    if (::chdir(directory.c_str()) != 0) Die("cannot enter " + directory + ": " + std::strerror(errno));
    ::close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
    if (Result<void> dropped = DropPrivileges(); !dropped) Die(dropped.error().message);
    // A script may have removed the file.
    Result<std::string> file = login ? io::ReadFile("/etc/environment") : "";
    if (file) env_text = LoginEnvironment(std::move(env_text), *file);
    std::vector<char*> argv, env;
    for (std::string& text : argv_text) argv.push_back(text.data());
    for (std::string& text : env_text) {
      env.push_back(text.data());
      if (text.starts_with("PATH=")) ::setenv("PATH", text.c_str() + 5, 1);  // execvpe looks in the caller's
    }
    argv.push_back(nullptr);
    env.push_back(nullptr);
    ::execvpe(argv[0], argv.data(), env.data());
    Die("cannot execute " + argv_text[0] + ": " + std::strerror(errno));
  }

  [[noreturn]] void RunTask(const json::object& request) {
    control_.Close();
    ::umask(022);
    if (Result<void> dropped = DropPrivileges(); !dropped) Die(dropped.error().message);
    ::_exit(plan_.task(std::string(request.at("name").as_string()), plan_.result));
  }

  const InitPlan& plan_;
  ControlChannel control_;
  pid_t current_ = 0;                 // the program or task that runs, leader of its session
  pid_t companion_ = 0;               // what runs beside it until "kill_all"; gets no other signal
  std::map<pid_t, int64_t> remotes_;  // what other instances, or this one, started through the remote shell; their ids
};

}  // namespace

void RunInit(const InitPlan& plan) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  ::prctl(PR_SET_NAME, "sagebrush-init");
  std::vector<int> kept = plan.kept;
  for (int fd : {plan.control, plan.log, plan.result, plan.user_namespace}) kept.push_back(fd);
  plan.cgroup->AppendDescriptors(kept);
  CloseAllBut(std::move(kept));
  ::umask(022);
  Init init(plan);
  if (Result<void> built = init.Build(); !built) {
    static_cast<void>(init.ReportFailure(built.error()));
    ::_exit(1);
  }
  init.Serve();
}

}  // namespace sagebrush::driver
