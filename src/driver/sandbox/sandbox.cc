#include "driver/sandbox/sandbox.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/failpoint.h"
#include "base/hash.h"
#include "base/text.h"
#include "driver/sandbox/netlink.h"
#include "driver/sandbox/user_namespace.h"

namespace sagebrush::driver {
namespace {

constexpr uint64_t kNamespaces = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET;

Result<std::pair<io::UniqueFd, io::UniqueFd>> Pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Fail(FromErrno(errno, "cannot make a pipe"));
  // Only the reading end: a program's own writes must block, which is how a flood is slowed down.
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  return std::pair{io::UniqueFd(ends[0]), io::UniqueFd(ends[1])};
}

}  // namespace

std::string Sandbox::CgroupName(const InstanceFiles& files) {
  // Two engines on one machine may run jobs of one name.
  return HexEncode(Sha256(files.directory.parent_path().native())).substr(0, 8) + "." +
         files.directory.filename().native();
}

Result<std::unique_ptr<Sandbox>> Sandbox::Create(Options options) {
  std::unique_ptr<Sandbox> sandbox(new Sandbox);
  sandbox->rootless_ = ::geteuid() != 0;
  sandbox->cgroup_name_ = CgroupName(options.files);
  Cgroup::Remove(sandbox->cgroup_name_);  // of an agent that was killed before it came to anything
  sandbox->cgroup_ = Cgroup::Create(sandbox->cgroup_name_, options.spec->limits);
  TRYV(sandbox->PrepareNamespaces(options));
  RootTree tree({options.files, options.spec, sandbox->rootless_, sandbox->rootless_ ? 0 : options.uid,
                 sandbox->rootless_ ? 0 : options.gid, sandbox->user_namespace_.get(), options.hidden});
  TRYV(tree.Prepare());
  TRYV(sandbox->Fork(options, tree));
  Result<void> connected = sandbox->Connect(*options.spec);
  if (!connected) {
    sandbox->End();
    return Fail(std::move(connected).error());
  }
  return sandbox;
}

Result<void> Sandbox::PrepareNamespaces(const Options& options) {
  if (options.spec->count > 1) {
    std::filesystem::path switches = options.files.directory.parent_path().parent_path() / "switches";
    TRY(switch_, JoinSwitch(switches, JobKey(options.spec->id), rootless_));
  }
  if (!rootless_) {
    TRY(user_namespace_, MakeUserNamespace(options.uid, options.gid));
    return {};
  }
  if (!switch_) return EnterOwnUserNamespace(CLONE_NEWNS);
  // All of a job's agents share the switch's user namespace, or one could not plug another's cable in. There is no
  // way back to the host's network, and no need for one: the engine is reached through a Unix socket.
  if (::setns(switch_->user_namespace.get(), CLONE_NEWUSER) != 0 ||
      ::setns(switch_->network_namespace.get(), CLONE_NEWNET) != 0 || ::unshare(CLONE_NEWNS) != 0) {
    return Fail(FromErrno(errno, "cannot join the job's network"));
  }
  return {};
}

Result<void> Sandbox::Fork(const Options& options, RootTree& tree) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return Fail(FromErrno(errno, "cannot make a socket pair"));
  }
  control_.emplace(io::UniqueFd(ends[0]));
  io::UniqueFd init_control(ends[1]);
  TRY(auto log, Pipe());
  TRY(auto result, Pipe());
  InitPlan plan;
  plan.tree = &tree;
  plan.cgroup = &cgroup_;
  plan.task = options.task;
  plan.rank = options.spec->rank;
  plan.count = options.spec->count;
  plan.pids_limit = cgroup_.limits_pids() ? 0 : options.spec->limits.pids;
  plan.user_namespace = user_namespace_.get();
  plan.log = log.second.get();
  plan.result = result.second.get();
  plan.kept = options.kept;
  plan.control = init_control.get();
  FAILPOINT("driver.sandbox.before_clone");
  clone_args arguments{};
  arguments.flags = kNamespaces;
  arguments.exit_signal = SIGCHLD;
  init_ = static_cast<pid_t>(::syscall(SYS_clone3, &arguments, sizeof arguments));
  if (init_ == 0) {
    init_control.Release();  // init owns it by its plan
    RunInit(plan);
  }
  if (init_ < 0) {
    init_ = 0;
    return Fail(FromErrno(errno, "cannot make the instance's namespaces (run `sagebrush doctor`)"));
  }
  log_ = std::move(log.first);
  result_ = std::move(result.first);
  FAILPOINT("driver.sandbox.after_clone");
  return {};
}

Result<void> Sandbox::Connect(const InstanceSpec& spec) {
  TRY(io::UniqueFd network, io::Open("/proc/" + std::to_string(init_) + "/ns/net", O_RDONLY));
  if (spec.count > 1) TRYV(ConnectThroughSwitch(spec, network.get()));
  // For good: of the host's network the agent needs nothing, and of the instance's the sockets that Driver::Connect
  // asks for. Later, init's rights over itself would stand in the way.
  if (::setns(network.get(), CLONE_NEWNET) != 0) return Fail(FromErrno(errno, "cannot enter the instance's network"));
  return control_->Send({{"kind", "go"}});
}

Result<void> Sandbox::ConnectThroughSwitch(const InstanceSpec& spec, int instance_network) {
  io::UniqueFd home;
  if (!rootless_) {
    TRY(home, io::Open("/proc/self/ns/net", O_RDONLY));
    if (::setns(switch_->network_namespace.get(), CLONE_NEWNET) != 0) {
      return Fail(FromErrno(errno, "cannot enter the job's network"));
    }
  }
  Result<Netlink> netlink = Netlink::Open();  // stays in the namespace it was opened in
  if (home && ::setns(home.get(), CLONE_NEWNET) != 0) return Fail(FromErrno(errno, "cannot leave the job's network"));
  if (!netlink) return Fail(std::move(netlink).error());
  int bridge = netlink->InterfaceIndex(kSwitchBridge);
  if (bridge == 0) return Fail(Error(ErrorKind::kUnavailable, "The job's network has no bridge."));
  netlink->AddVeth("v" + std::to_string(spec.rank + 1), bridge, "eth0", instance_network);
  return netlink->Send("cannot connect the instance to the job's network");
}

void Sandbox::End() {
  if (init_ > 0) {
    ::kill(init_, SIGKILL);
    while (::waitpid(init_, nullptr, 0) < 0 && errno == EINTR) {
    }
    init_ = 0;
  }
  Cgroup::Remove(cgroup_name_);
  switch_.reset();
}

}  // namespace sagebrush::driver
