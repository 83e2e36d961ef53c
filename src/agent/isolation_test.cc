// Programs of real instances try what they must not be able to do.

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>

#include "agent/sandbox_test_support.h"

namespace sagebrush::agent {
namespace {

using driver::InstanceSpec;
using driver::InstanceStatus;

bool IsRoot() { return ::geteuid() == 0; }

class IsolationTest : public SandboxTest {
 protected:
  // Runs one attempt in an instance; it must fail.
  void ExpectRefused(const std::string& id, const std::string& attempt) {
    InstanceSpec spec = machine_->Shell(id, "if (" + attempt + "); then echo ESCAPED; fi");
    InstanceStatus status = machine_->Run(spec);
    EXPECT_EQ(status.exit_code, 0) << status.failure_reason;
    EXPECT_EQ(machine_->Log(spec.id).find("ESCAPED"), std::string::npos) << machine_->Log(spec.id);
  }
};

TEST_F(IsolationTest, HostFilesThatRootAloneMayReadStayUnread) {
  if (IsRoot()) ExpectRefused("shadow.1.0", "cat /etc/shadow");
  ExpectRefused("homes.1.0", "test -n \"$(ls -A /root /home 2>/dev/null | grep -v :)\"");
  ExpectRefused("proc1.1.0", "cat /proc/1/environ || cat /proc/1/mem || ls /proc/1/fd/");
  ExpectRefused("kcore.1.0", "head -c 1 /proc/kcore | grep .");
}

TEST_F(IsolationTest, TheEnginesDataAndOtherInstancesAreOutOfSight) {
  std::string secret = machine_->directory() / "secret";
  ASSERT_TRUE(io::WriteFile(secret, "the key").has_value());
  ExpectRefused("data.1.0", "cat " + secret);
  InstanceSpec other = machine_->Shell("other.1.0", "echo mine > /opt/ml/model/weights; sleep 60");
  ASSERT_TRUE(machine_->driver().Start(other).has_value());
  ASSERT_TRUE(SandboxMachine::Eventually(
      [&] { return std::filesystem::exists(machine_->Files(other.id).ml() / "model/weights"); }));
  ExpectRefused("look.1.0",
                "cat " + (machine_->Files(other.id).ml() / "model/weights").native() + " /opt/ml/model/weights");
  ExpectRefused("see.1.0", "ps ax | grep -v grep | grep 'sleep 60'");
}

TEST_F(IsolationTest, MountsNamespacesDevicesAndTracingAreRefused) {
  ExpectRefused("mount.1.0", "mount -t tmpfs none /mnt");
  ExpectRefused("umount.1.0", "umount /proc/sys");
  ExpectRefused("remount.1.0", "mount -o remount,rw /sys");
  ExpectRefused("unshare.1.0", "unshare --user --map-root-user true");
  ExpectRefused("setns.1.0", "nsenter --target 1 --mount true");
  ExpectRefused("mknod.1.0", "mknod /tmp/sda b 8 0");
  ExpectRefused("ptrace.1.0",
                "python3 -c 'import ctypes,sys; c=ctypes.CDLL(None,use_errno=True); "
                "sys.exit(0 if c.ptrace(16,1,0,0)==0 or c.ptrace(0,0,0,0)==0 else 1)'");
  ExpectRefused("hostname.1.0", "hostname other");
  ExpectRefused("sysctl.1.0", "echo 1 > /proc/sys/kernel/sysrq");
  ExpectRefused("chrootfs.1.0", "echo x > /sys/kernel/uevent_seqnum");
}

TEST_F(IsolationTest, ProcessesOutsideCannotBeSignalled) {
  pid_t outside = ::getpid();
  InstanceSpec spec =
      machine_->Shell("kill.1.0", "kill -9 " + std::to_string(outside) + "; kill -9 1; sleep 0.05; echo still here");
  InstanceStatus status = machine_->Run(spec);
  EXPECT_TRUE(status.succeeded) << status.failure_reason;
  EXPECT_NE(machine_->Log(spec.id).find("still here"), std::string::npos) << "init takes no SIGKILL from inside";
}

TEST_F(IsolationTest, WritesStayInside) {
  std::string name = "/etc/sagebrush-test-" + std::to_string(::getpid());
  InstanceSpec spec = machine_->Shell("write.1.0", "echo x > " + name + " && cat " + name +
                                                       "; echo x >> /etc/hosts; echo x > /usr/bin/env; "
                                                       "echo x > /tmp/inside; ls /tmp; touch $HOME/home; ls $HOME");
  InstanceStatus status = machine_->Run(spec);
  EXPECT_EQ(status.exit_code, 0) << status.failure_reason;
  EXPECT_FALSE(std::filesystem::exists(name));
  EXPECT_FALSE(std::filesystem::exists("/tmp/inside"));
  EXPECT_NE(machine_->Log(spec.id).find("inside"), std::string::npos);
  EXPECT_NE(machine_->Log(spec.id).find("home"), std::string::npos);
}

TEST_F(IsolationTest, RootInsideHasAFewCapabilitiesAndNoWayToMore) {
  InstanceSpec spec = machine_->Shell("caps.1.0", "id -u; grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status");
  machine_->Run(spec);
  std::string log = machine_->Log(spec.id);
  EXPECT_NE(log.find("0\n"), std::string::npos) << log;
  EXPECT_NE(log.find("CapEff:\t00000000000005fb"), std::string::npos) << log;  // no SYS_ADMIN, MKNOD, SYS_PTRACE …
  EXPECT_NE(log.find("NoNewPrivs:\t1"), std::string::npos) << log;
  EXPECT_NE(log.find("Seccomp:\t2"), std::string::npos) << log;
}

TEST_F(IsolationTest, AModelDirectoryReplacedByALinkGivesNothingAway) {
  InstanceSpec spec = machine_->Shell("link.1.0", "rmdir /opt/ml/model && ln -s /etc /opt/ml/model");
  InstanceStatus status = machine_->Run(spec);
  EXPECT_FALSE(status.succeeded);
  EXPECT_TRUE(status.model_archive.empty());
  EXPECT_NE(status.failure_reason.find("/opt/ml/model is no longer a directory"), std::string::npos)
      << status.failure_reason;
  InstanceSpec inner = machine_->Shell("inner.1.0", "ln -s /etc/shadow /opt/ml/model/x; ln -s /etc /opt/ml/model/y");
  status = machine_->Run(inner);
  EXPECT_TRUE(status.succeeded) << status.failure_reason;
  std::string listing = SandboxMachine::Shown({"tar", "-tvzf", status.model_archive.native()});
  EXPECT_NE(listing.find("x -> /etc/shadow"), std::string::npos) << listing;
  EXPECT_EQ(listing.find("passwd"), std::string::npos) << "links are not followed";
}

TEST_F(IsolationTest, AForkBombIsBounded) {
  InstanceSpec spec = machine_->Shell("bomb.1.0", "f() { f | f & }; f; sleep 0.2; echo survived");
  spec.limits.pids = 50;
  InstanceStatus status = machine_->Run(spec);
  EXPECT_EQ(status.phase, driver::Phase::kEnded);
  EXPECT_NE(machine_->Log(spec.id).find("fork"), std::string::npos) << machine_->Log(spec.id).substr(0, 500);
}

TEST_F(IsolationTest, TheMemoryLimitKillsAndIsNamed) {
  InstanceSpec spec = machine_->Shell("oom.1.0", "exec python3 -c \"x = b'x' * (1 << 30); print(len(x))\"");
  spec.limits.memory_bytes = 64 << 20;
  InstanceStatus status = machine_->Run(spec);
  if (machine_->SaysNoLimit(spec.id, "memory")) {
    GTEST_SKIP() << "no memory control group is writable for this user";
  }
  EXPECT_TRUE(status.out_of_memory);
  EXPECT_EQ(status.signal, 9);
  EXPECT_NE(status.failure_reason.find("OutOfMemory"), std::string::npos) << status.failure_reason;
}

TEST_F(IsolationTest, ProgramsReadTheirProcessorLimitAndCannotChangeIt) {
  InstanceSpec spec = machine_->Shell(
      "limit.1.0",
      "cat /sys/fs/cgroup/cpu.max; ls /sys/fs/cgroup; echo max 100000 > /sys/fs/cgroup/cpu.max && echo SET");
  spec.limits.vcpus = 0.5;
  machine_->Run(spec);
  EXPECT_EQ(machine_->Log(spec.id).substr(0, 21), "50000 100000\ncpu.max\n") << machine_->Log(spec.id);
  EXPECT_EQ(machine_->Log(spec.id).find("SET"), std::string::npos);
}

// A group of the controller "cpu", or of version 2 where that has it.
TEST_F(IsolationTest, TheSchedulerTakesAnInstanceForOneEvenWithoutALimit) {
  InstanceSpec spec = machine_->Shell("one.1.0", "cat /proc/self/cgroup");
  spec.limits.vcpus = 4096;
  ASSERT_TRUE(machine_->Run(spec).succeeded);
  if (!IsRoot() || machine_->Log(spec.id).find("sagebrush/") == std::string::npos) {
    GTEST_SKIP() << "no control group is writable for this user";
  }
  int groups = 0;
  for (std::string_view line : Split(machine_->Log(spec.id), '\n')) {
    std::vector<std::string_view> fields = Split(line, ':');
    if (fields.size() != 3 || !fields[2].ends_with(".one.1.0")) continue;
    std::vector<std::string_view> controllers = Split(fields[1], ',');
    groups += std::ranges::find(controllers, "cpu") != controllers.end() ? 1 : 0;
    if (fields[1].empty()) groups += std::filesystem::exists("/sys/fs/cgroup/cgroup.controllers") ? 1 : 0;
  }
  EXPECT_EQ(groups, 1) << machine_->Log(spec.id);
}

TEST_F(IsolationTest, ChannelsAreWritableAndTheStoredFilesUnchanged) {
  std::filesystem::path blobs = machine_->directory() / "blobs";
  InstanceSpec spec = machine_->Shell(
      "channel.1.0",
      "set -e; cd /opt/ml/input/data/train; cat a sub/b; chmod 777 a; echo more >> a; rm sub/b; echo new > sub/c; "
      "mv a renamed; cat renamed; ls sub");
  std::filesystem::path links = machine_->driver().StagingDirectory(spec.id) / "train";
  ASSERT_TRUE(io::MakeDirectories(blobs, 0700).has_value());
  ASSERT_TRUE(io::MakeDirectories(links / "sub").has_value());
  ASSERT_TRUE(io::WriteFile(blobs / "1", "first\n", 0600).has_value());
  ASSERT_TRUE(io::WriteFile(blobs / "2", "second\n", 0444).has_value());
  std::filesystem::create_hard_link(blobs / "1", links / "a");
  std::filesystem::create_hard_link(blobs / "2", links / "sub/b");
  spec.channels = {{"train", links}};
  InstanceStatus status = machine_->Run(spec);
  EXPECT_TRUE(status.succeeded) << status.failure_reason << machine_->Log(spec.id);
  EXPECT_EQ(machine_->Log(spec.id), "first\nsecond\nfirst\nmore\nc\n");
  EXPECT_EQ(*io::ReadFile(blobs / "1"), "first\n");
  EXPECT_EQ(*io::ReadFile(blobs / "2"), "second\n");
  struct stat blob{};
  ASSERT_EQ(::stat((blobs / "1").c_str(), &blob), 0);
  EXPECT_EQ(blob.st_mode & 07777, 0600u);
}

TEST_F(IsolationTest, InstancesOfAJobReachEachOtherByName) {
  std::vector<InstanceSpec> specs;
  for (int rank = 0; rank < 2; ++rank) {
    std::string program =
        "import socket,time,os\n"
        "me=socket.gethostname(); other='algo-2' if me=='algo-1' else 'algo-1'\n"
        "s=socket.create_server((me,7777)); s2=socket.create_server((me,80))\n"
        "deadline=time.time()+30\n"
        "while True:\n"
        "  try: c=socket.create_connection((other,7777),timeout=5); break\n"
        "  except OSError:\n"
        "    if time.time()>deadline: raise\n"
        "    time.sleep(0.01)\n"
        "a,_=s.accept(); c.sendall(me.encode()); print('heard', a.recv(100).decode(), "
        "int(open('/sys/class/net/eth0/mtu').read()))\n";
    InstanceSpec spec = machine_->Shell("pair.1." + std::to_string(rank), "");
    spec.entrypoint = {"python3", "-c", program};
    spec.rank = rank;
    spec.count = 2;
    specs.push_back(spec);
  }
  std::thread second([&] { EXPECT_TRUE(machine_->driver().Start(specs[1]).has_value()); });
  EXPECT_TRUE(machine_->driver().Start(specs[0]).has_value());
  second.join();
  EXPECT_TRUE(machine_->Await(specs[0].id).succeeded) << machine_->Log(specs[0].id);
  EXPECT_TRUE(machine_->Await(specs[1].id).succeeded) << machine_->Log(specs[1].id);
  EXPECT_EQ(machine_->Log(specs[0].id), "heard algo-2 65535\n");
  EXPECT_EQ(machine_->Log(specs[1].id), "heard algo-1 65535\n");
}

TEST_F(IsolationTest, KillingTheAgentLeavesNoProcess) {
  InstanceSpec spec = machine_->Shell("orphan.1.0", "(setsid sleep 1000 &) ; echo ready; sleep 1000");
  ASSERT_TRUE(machine_->driver().Start(spec).has_value());
  ASSERT_TRUE(machine_->AwaitLog(spec.id, "ready"));
  std::optional<driver::ProcessIdentity> init = machine_->Process(spec.id, 1);
  ASSERT_TRUE(init.has_value());
  ASSERT_TRUE(driver::OpenProcess(*init));
  ::kill(machine_->Process(spec.id, 0)->pid, SIGKILL);
  EXPECT_EQ(machine_->Await(spec.id).phase, driver::Phase::kLost);
  // An init is gone only after everything in its namespace is; a zombie has no command line.
  EXPECT_TRUE(SandboxMachine::Eventually([&] {
    Result<std::string> line = io::ReadFile("/proc/" + std::to_string(init->pid) + "/cmdline");
    return !line || line->empty();
  }));
}

// The whole of this suite and of the conformance kit again, as a user without any privilege.
TEST_F(IsolationTest, AnOrdinaryUserGetsTheSame) {
  if (!IsRoot()) GTEST_SKIP() << "this is the run as an ordinary user";
  std::filesystem::path copies = machine_->directory() / "bin";
  ASSERT_TRUE(io::MakeDirectories(copies).has_value());
  std::filesystem::copy_file("/proc/self/exe", copies / "agent_test");
  std::filesystem::copy_file(SandboxMachine::AgentBinary(), copies / "sagebrush-agent");
  std::filesystem::copy(SandboxMachine::Commands(), copies / "commands");
  std::filesystem::copy_file(SandboxMachine::ModelServerBinary(), copies / "sagebrush-model-server");
  std::filesystem::path base = machine_->directory() / "base";
  ASSERT_TRUE(io::MakeDirectories(base).has_value());
  ASSERT_EQ(::chown(base.c_str(), 12345, 12345), 0);
  Result<io::CommandOutcome> outcome =
      io::Run({{"setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups", (copies / "agent_test").native(),
                "--gtest_filter=IsolationTest.*:Sandbox/DriverConformance/*:ToolkitTest.*:RemoteShellTest.*:MpiTest.*:"
                "ServiceTest.*:ModelServerTest.*"},
               {{"SAGEBRUSH_TEST_AGENT", (copies / "sagebrush-agent").native()},
                {"SAGEBRUSH_TEST_MODEL_SERVER", (copies / "sagebrush-model-server").native()},
                {"SAGEBRUSH_TEST_COMMANDS", (copies / "commands").native()},
                {"SAGEBRUSH_TEST_BASE", base.native()},
                {"HOME", "/nonexistent"}},
               "/",
               std::chrono::seconds(300)});
  ASSERT_TRUE(outcome.has_value()) << outcome.error().message;
  EXPECT_EQ(outcome->exit_code, 0) << outcome->output;
  std::string summary = outcome->output.substr(outcome->output.rfind("[==========]"));
  std::printf("as an ordinary user: %s", summary.c_str());
}

}  // namespace
}  // namespace sagebrush::agent
