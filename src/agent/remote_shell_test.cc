// The command `ssh` between real instances: what it carries, and who may not use what is behind it.

#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "agent/sandbox_test_support.h"
#include "agent/ssh_command.h"
#include "driver/sandbox/control_channel.h"

namespace sagebrush::agent {
namespace {

using driver::InstanceSpec;
using driver::Phase;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(SshCommandTest, ReadsOptionsHostAndCommandAsSshDoes) {
  Result<SshCall> call = ParseSsh({"-x", "-oBatchMode=yes", "-p", "22", "root@algo-2", "-T", " orted", "-mca", "a b"});
  ASSERT_TRUE(call.has_value()) << call.error().message;
  EXPECT_EQ(call->host, "algo-2");
  EXPECT_EQ(call->command, " orted -mca a b");
  EXPECT_FALSE(call->no_input);
  EXPECT_TRUE(ParseSsh({"-qn", "algo-1"})->no_input);
  EXPECT_EQ(ParseSsh({"algo-1"})->command, "");
  EXPECT_EQ(ParseSsh({"algo-1", "--", "-v"})->command, "-v");
}

TEST(SshCommandTest, RefusesWhatItCannotDo) {
  EXPECT_THAT(ParseSsh({"-L", "80:algo-1:80", "algo-2"}).error().message, HasSubstr("forwarding"));
  EXPECT_THAT(ParseSsh({"mallory@algo-2", "id"}).error().message, HasSubstr("mallory"));
  EXPECT_THAT(ParseSsh({"-l", "mallory", "algo-2"}).error().message, HasSubstr("mallory"));
  EXPECT_THAT(ParseSsh({"-p"}).error().message, HasSubstr("needs a value"));
  EXPECT_THAT(ParseSsh({"-!", "algo-2"}).error().message, HasSubstr("unknown option"));
  EXPECT_THAT(ParseSsh({}).error().message, HasSubstr("usage"));
  EXPECT_THAT(ParseSsh({"algo-2", std::string(70'000, 'x')}).error().message, HasSubstr("64 KiB"));
}

class RemoteShellTest : public SandboxTest {
 protected:
  InstanceSpec Host(int rank, const std::string& script, const std::string& job = "rsh") {
    InstanceSpec spec = machine_->Shell(job + ".1." + std::to_string(rank), script);
    spec.rank = rank;
    spec.count = 2;
    spec.commands = SandboxMachine::Commands();
    spec.environment.read_only = {SandboxMachine::Commands()};
    return spec;
  }
  void Start(const InstanceSpec& spec) { ASSERT_TRUE(machine_->driver().Start(spec).has_value()); }
  // What `script` on host 1 prints while host 2 serves.
  std::string RunWithPeer(const std::string& script) {
    InstanceSpec peer = Host(1, "sleep 1000"), first = Host(0, script);
    Start(peer);
    EXPECT_EQ(machine_->Run(first).exit_code, 0) << machine_->Log(first.id);
    EXPECT_TRUE(machine_->driver().Stop(peer.id, {Epoch{1}, "over"}).has_value());
    EXPECT_EQ(machine_->Await(peer.id).phase, Phase::kEnded);
    peer_log_ = machine_->Log(peer.id);
    return machine_->Log(first.id);
  }
  std::string peer_log_;
};

TEST_F(RemoteShellTest, CarriesInputOutputErrorAndExitCode) {
  EXPECT_EQ(RunWithPeer(R"sh(cd /tmp
ssh algo-2 hostname
echo hello | ssh -o StrictHostKeyChecking=no root@algo-2 'tr a-z A-Z'
ssh algo-2 'echo out; echo err >&2; exit 7' >o 2>e; echo "code $?: $(cat o) $(cat e)"
ssh algo-2 'kill -9 $$'; echo "killed $?"
echo 'echo from input on $(hostname)' | ssh algo-2
ssh -n algo-2 'cat; echo empty'
ssh localhost hostname
ssh algo-1 hostname
ssh 10.77.0.2 hostname
)sh"),
            "algo-2\nHELLO\ncode 7: out err\nkilled 255\nfrom input on algo-2\nempty\nalgo-1\nalgo-1\nalgo-2\n");
  EXPECT_EQ(peer_log_, "") << "what a caller is told is not in the other host's log";
}

TEST_F(RemoteShellTest, ManyBytesPassBothWaysAndManyCallsAtOnce) {
  EXPECT_EQ(RunWithPeer(R"sh(
head -c 20000000 /dev/zero | ssh algo-2 'wc -c'
ssh algo-2 'head -c 20000000 /dev/zero' | wc -c
for i in 1 2 3 4 5 6 7 8 9 10; do ssh algo-2 "exit $i" & pids="$pids $!"; done
sum=0; for pid in $pids; do wait $pid; sum=$((sum + $?)); done; echo $sum
)sh"),
            "20000000\n20000000\n55\n");
}

TEST_F(RemoteShellTest, StartsWithTheProgramsRightsAndVariablesInsideTheTarget) {
  std::string script = R"sh(cd /tmp
echo "$(id -u) $(ssh algo-2 'id -u; pwd; cat /proc/self/status | grep -c ^CapEff.*0000000000000000; echo $WHO')"
grep -v Pid /proc/self/status | grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' >mine
ssh algo-2 grep -E "'^(CapEff|CapBnd|NoNewPrivs|Seccomp):'" /proc/self/status >theirs
cmp mine theirs && echo the same rights
ssh algo-2 'cut -d: -f2- /proc/self/cgroup | sort -u' >theirs
ssh algo-1 'cut -d: -f2- /proc/self/cgroup | sort -u' >mine
cut -d: -f2- /proc/self/cgroup | sort -u | cmp mine - && echo my own group
ssh algo-2 mount | grep -q . && ssh algo-2 'ls /proc/1/fd' 2>&1 | grep -c denied
)sh";
  InstanceSpec peer = Host(1, "sleep 1000"), first = Host(0, script);
  peer.variables["WHO"] = "second";
  Start(peer);
  EXPECT_EQ(machine_->Run(first).exit_code, 0);
  EXPECT_EQ(machine_->Log(first.id), "0 0\n/root\n0\nsecond\nthe same rights\nmy own group\n1\n");
}

TEST_F(RemoteShellTest, WhatWasStartedDiesWithItsInstanceAndItsCallerLearnsIt) {
  InstanceSpec peer = Host(1, "sleep 1000");
  InstanceSpec first = Host(0, "ssh algo-2 'echo there; sleep 1000'; echo \"code $?\"");
  Start(peer);
  Start(first);
  ASSERT_TRUE(machine_->AwaitLog(first.id, "there\n"));
  ASSERT_TRUE(machine_->driver().Destroy(peer.id).has_value());
  EXPECT_EQ(machine_->Await(first.id).exit_code, 0);
  EXPECT_THAT(machine_->Log(first.id), HasSubstr("the host ended before its program did\ncode 255\n"));
}

TEST_F(RemoteShellTest, ACallerThatGoesTakesWhatItStartedWithIt) {
  InstanceSpec peer = Host(1,
                           "until [ -e /tmp/began ]; do sleep 0.02; done; until [ -e /tmp/hung-up ]; do sleep 0.02; "
                           "done; echo seen");
  InstanceSpec first =
      Host(0,
           "ssh algo-2 'trap \"touch /tmp/hung-up; exit\" HUP; touch /tmp/began; echo began; "
           "while :; do sleep 0.02; done' & until ssh algo-2 test -e /tmp/began; do :; done; kill $!; wait");
  Start(peer);
  Start(first);
  EXPECT_TRUE(machine_->Await(peer.id).succeeded);
  EXPECT_EQ(machine_->Log(peer.id), "seen\n");
  EXPECT_TRUE(machine_->Await(first.id).succeeded);
}

TEST_F(RemoteShellTest, ACallWaitsForAHostThatHasNotBegun) {
  InstanceSpec peer = Host(1, "sleep 1000"), first = Host(0, "echo calling; ssh algo-2 hostname");
  Start(first);
  ASSERT_TRUE(machine_->AwaitLog(first.id, "calling\n"));
  Start(peer);
  EXPECT_EQ(machine_->Await(first.id).exit_code, 0);
  EXPECT_EQ(machine_->Log(first.id), "calling\nalgo-2\n");
}

TEST_F(RemoteShellTest, AHostThatHasEndedIsNamed) {
  ASSERT_TRUE(machine_->Run(Host(1, "true")).succeeded);
  InstanceSpec first = Host(0, "ssh algo-2 hostname; echo \"code $?\"");
  EXPECT_EQ(machine_->Run(first).exit_code, 0);
  EXPECT_EQ(machine_->Log(first.id), "ssh: algo-2 has ended\ncode 255\n");
}

TEST_F(RemoteShellTest, OtherHostsAreLeftToTheSystemsSsh) {
  std::string script =
      "mkdir -p /tmp/bin; printf '#!/bin/sh\\necho system ssh \"$@\"\\n' >/tmp/bin/ssh; chmod +x "
      "/tmp/bin/ssh; PATH=$PATH:/tmp/bin; PATH=${PATH%%:*}:/tmp/bin ssh -A git@example.org ls; "
      "PATH=${PATH%%:*} ssh elsewhere ls; echo \"code $?\"";
  InstanceSpec first = Host(0, script);
  EXPECT_EQ(machine_->Run(first).exit_code, 0);
  EXPECT_THAT(machine_->Log(first.id), HasSubstr("ssh: Could not resolve hostname elsewhere"));
  EXPECT_THAT(machine_->Log(first.id), HasSubstr("code 255\n"));
}

TEST_F(RemoteShellTest, AnotherJobsHostsAreOutOfReach) {
  InstanceSpec other = Host(1, "sleep 1000", "other"), peer = Host(1, "sleep 1000");
  InstanceSpec first = Host(0,
                            "ssh algo-2 'touch /tmp/mine'; ls /proc/net/unix >/dev/null && grep -c "
                            "@sagebrush-remote-shell /proc/net/unix");
  Start(other);
  Start(peer);
  ASSERT_TRUE(machine_->Run(first).succeeded);
  EXPECT_FALSE(std::filesystem::exists(machine_->Files(other.id).root() / "up/tmp/mine"));
  EXPECT_TRUE(std::filesystem::exists(machine_->Files(peer.id).root() / "up/tmp/mine"));
  EXPECT_EQ(machine_->Log(first.id), "1\n") << "its own agent's socket alone";
}

// A process of the engine's own user, even, is no agent.
TEST_F(RemoteShellTest, AProcessThatIsNoAgentOfTheJobIsRefused) {
  InstanceSpec host = Host(0, "sleep 1000");
  Start(host);
  std::filesystem::path path = machine_->Files(host.id).directory / "remote.sock";
  ASSERT_TRUE(SandboxMachine::Eventually([&] { return std::filesystem::exists(path); }));
  EXPECT_EQ(std::filesystem::status(path).permissions(), std::filesystem::perms(0600));
  for (int claimed : {0, 1, 7, -1}) {
    io::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    ASSERT_LT(path.native().size(), sizeof address.sun_path);
    std::copy(path.native().begin(), path.native().end(), address.sun_path);
    ASSERT_TRUE(SandboxMachine::Eventually(
        [&] { return ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0; }));
    driver::ControlChannel channel(std::move(fd));
    ASSERT_TRUE(channel.Send({{"from", claimed}, {"command", "touch /tmp/intruder"}}, {0, 1, 2}).has_value());
    std::optional<boost::json::object> answer;
    while (!(answer = channel.Next()) && channel.Receive()) {
    }
    ASSERT_TRUE(answer.has_value());
    EXPECT_THAT(std::string(answer->at("error").as_string()), HasSubstr("only the agents of this job's instances"));
  }
  EXPECT_FALSE(std::filesystem::exists(machine_->Files(host.id).root() / "up/tmp/intruder"));
}

TEST_F(RemoteShellTest, ACallThatIsNoneDoesNotDisturbTheInstance) {
  std::string script = R"sh(python3 - <<'EOF'
import array, socket, struct
def call(payload, descriptors=()):
    s = socket.socket(socket.AF_UNIX); s.connect("\0sagebrush-remote-shell")
    s.sendmsg([payload], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else [])
    return s
def message(text): return struct.pack("I", len(text)) + text
print(b"no standard input" in call(message(b'{"host":"algo-1","command":"true"}')).recv(1000))
print(call(struct.pack("I", 1 << 31) + b"x").recv(1000))
for _ in range(6): half = call(b"\0")
print(b"no standard input" in call(message(b"nonsense"), [0]).recv(1000))
flood = call(message(b'{"host":"algo-1","command":"true"}')[:2], [0, 1, 2])
try:
    for _ in range(50): flood.sendmsg([b"{"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
except OSError as error:
    print("thrown out")
EOF
ssh algo-1 echo well)sh";
  InstanceSpec host = Host(0, script);
  ASSERT_TRUE(machine_->Run(host).succeeded) << machine_->Log(host.id);
  EXPECT_THAT(machine_->Log(host.id), StartsWith("True\nb''\nTrue\n"));
  EXPECT_THAT(machine_->Log(host.id), HasSubstr("well\n"));
}

}  // namespace
}  // namespace sagebrush::agent
