// Jobs with parameter servers in real instances: who waits for whom, and who ends whom. The environment's Python is a
// stand-in, a shell script: a server for `-c`, the given program for `train.py`.

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "agent/sandbox_test_support.h"

namespace sagebrush::agent {
namespace {

using driver::InstanceSpec;
using driver::InstanceStatus;
using driver::Phase;
using ::testing::HasSubstr;

constexpr char kForEver[] = "while :; do sleep 0.02; done";

class ParameterServerTest : public SandboxTest {
 protected:
  // Host `rank` + 1 of a job of two hosts.
  InstanceSpec Host(int rank, const std::string& program, const std::string& layout = "master",
                    const std::string& server = std::string("echo serving; ") + kForEver) {
    std::string name = "ps.1." + std::to_string(rank);
    std::filesystem::path venv = machine_->directory() / (name + "-venv");
    EXPECT_TRUE(io::MakeDirectories(venv / "bin").has_value());
    EXPECT_TRUE(io::WriteFile(venv / "bin/python",
                              "#!/bin/sh\nif [ \"$1\" = -c ]; then\n" + server + "\nelse\n" + program + "\nfi\n", 0755)
                    .has_value());
    ::chmod((venv / "bin/python").c_str(), 0755);
    InstanceSpec spec = machine_->Shell(name, "");
    spec.entrypoint.clear();
    spec.rank = rank;
    spec.count = 2;
    spec.environment.venv = venv;
    spec.source_archive = machine_->Tar({{"train.py", ""}});
    spec.hyperparameters = {{"sagemaker_program", "\"train.py\""},
                            {"sagemaker_parameter_server_enabled", "true"},
                            {"sagemaker_parameter_server_layout", "\"" + layout + "\""}};
    return spec;
  }
  InstanceStatus Inspect(const InstanceSpec& spec) { return *machine_->driver().Inspect(spec.id); }
  void Start(const InstanceSpec& spec) { ASSERT_TRUE(machine_->driver().Start(spec).has_value()); }
  // Waits until the program's end is on record.
  bool AwaitProgramEnd(const InstanceSpec& spec) {
    return SandboxMachine::Eventually([&] { return Inspect(spec).training_ended_ms != 0; });
  }
  // Host 1's program ends when the test says so: by making a file through its work directory.
  const std::string kUntilTold = "echo ready; until [ -e /opt/ml/code/go ]; do sleep 0.02; done";
  void Tell(const InstanceSpec& spec) {
    ASSERT_TRUE(io::WriteFile(machine_->Files(spec.id).ml() / "code/go", "").has_value());
  }
};

TEST_F(ParameterServerTest, AHostThatIsDoneServesOnUntilHostOneEnds) {
  InstanceSpec first = Host(0, kUntilTold), second = Host(1, "echo done");
  Start(second);  // before host 1 has begun
  ASSERT_TRUE(AwaitProgramEnd(second));
  EXPECT_EQ(Inspect(second).phase, Phase::kTraining);
  Start(first);
  ASSERT_TRUE(machine_->AwaitLog(first.id, "ready\n"));
  ASSERT_TRUE(machine_->AwaitLog(first.id, "serving\n"));
  ASSERT_TRUE(machine_->AwaitLog(second.id, "serving\n"));
  EXPECT_EQ(Inspect(second).phase, Phase::kTraining);
  Tell(first);
  EXPECT_TRUE(machine_->Await(first.id).succeeded);
  EXPECT_TRUE(machine_->Await(second.id).succeeded);
}

TEST_F(ParameterServerTest, HostOneServesUntilTheOthersAreDone) {
  InstanceSpec first = Host(0, "echo done"), second = Host(1, kUntilTold);
  Start(second);
  ASSERT_TRUE(machine_->AwaitLog(second.id, "ready\n"));
  Start(first);
  ASSERT_TRUE(AwaitProgramEnd(first));
  EXPECT_EQ(Inspect(first).phase, Phase::kTraining);
  Tell(second);
  EXPECT_TRUE(machine_->Await(second.id).succeeded);
  EXPECT_TRUE(machine_->Await(first.id).succeeded);
}

TEST_F(ParameterServerTest, AProgramThatDoesNotSeeTheEndOfHostOneIsEnded) {
  InstanceSpec first = Host(0, "echo done"), second = Host(1, std::string("echo ready; ") + kForEver);
  first.stop_grace_ms = second.stop_grace_ms = 300;
  Start(second);
  ASSERT_TRUE(machine_->AwaitLog(second.id, "ready\n"));
  EXPECT_TRUE(machine_->Run(first).succeeded);
  InstanceStatus status = machine_->Await(second.id);
  EXPECT_TRUE(status.succeeded) << status.failure_reason;
  EXPECT_FALSE(status.stopped);
}

TEST_F(ParameterServerTest, TheChiefsEndEndsTheOthersPrograms) {
  InstanceSpec first = Host(0, kUntilTold, "chief"), second = Host(1, std::string("echo ready; ") + kForEver, "chief");
  Start(first);
  Start(second);
  ASSERT_TRUE(machine_->AwaitLog(first.id, "ready\n"));
  ASSERT_TRUE(machine_->AwaitLog(second.id, "ready\n"));
  Tell(first);
  EXPECT_TRUE(machine_->Await(first.id).succeeded);
  InstanceStatus status = machine_->Await(second.id);
  EXPECT_TRUE(status.succeeded) << status.failure_reason;
  EXPECT_EQ(status.signal, 0);
}

TEST_F(ParameterServerTest, AFailureWhileHostOneRunsIsAFailure) {
  InstanceSpec first = Host(0, kUntilTold, "chief"), second = Host(1, "echo broken; exit 3", "chief");
  Start(first);
  ASSERT_TRUE(machine_->AwaitLog(first.id, "ready\n"));
  InstanceStatus status = machine_->Run(second);
  EXPECT_FALSE(status.succeeded);
  EXPECT_EQ(status.exit_code, 3);
  EXPECT_THAT(status.failure_reason, HasSubstr("broken"));
}

TEST_F(ParameterServerTest, AStopEndsAHostThatServesOn) {
  InstanceSpec second = Host(1, "echo done");
  Start(second);
  ASSERT_TRUE(AwaitProgramEnd(second));
  ASSERT_TRUE(machine_->driver().Stop(second.id, {Epoch{1}, "StopTrainingJob"}).has_value());
  EXPECT_EQ(machine_->Await(second.id).phase, Phase::kEnded);
}

TEST_F(ParameterServerTest, AnAgentOfHostOneThatWasKilledEndsTheWait) {
  InstanceSpec first = Host(0, kUntilTold), second = Host(1, "echo done");
  Start(first);
  ASSERT_TRUE(machine_->AwaitLog(first.id, "ready\n"));
  Start(second);
  ASSERT_TRUE(AwaitProgramEnd(second));
  ASSERT_TRUE(driver::KillAndWait(*machine_->Process(first.id, 0), 10'000).has_value());
  EXPECT_TRUE(machine_->Await(second.id).succeeded);
  EXPECT_EQ(machine_->Await(first.id).phase, Phase::kLost);
}

TEST_F(ParameterServerTest, AServerThatDiesFailsItsHostAtOnce) {
  InstanceSpec first = Host(0, std::string("trap '' TERM; ") + kForEver, "master", "echo no room >&2; exit 9");
  InstanceStatus status = machine_->Run(first);
  EXPECT_FALSE(status.succeeded);
  EXPECT_THAT(status.failure_reason, HasSubstr("ParameterServerError:"));
  EXPECT_THAT(status.failure_reason, HasSubstr("(exit code 9)"));
  EXPECT_THAT(status.failure_reason, HasSubstr("no room"));
}

TEST_F(ParameterServerTest, AServerThatDiesAfterTheProgramFailsItsHostToo) {
  std::string until_seen = "until [ -e /opt/ml/code/go ]; do sleep 0.02; done; exit 9";
  InstanceSpec second = Host(1, "echo done", "master", until_seen);
  Start(second);
  ASSERT_TRUE(AwaitProgramEnd(second));
  Tell(second);
  InstanceStatus status = machine_->Await(second.id);
  EXPECT_FALSE(status.succeeded);
  EXPECT_THAT(status.failure_reason, HasSubstr("(exit code 9)"));
}

}  // namespace
}  // namespace sagebrush::agent
