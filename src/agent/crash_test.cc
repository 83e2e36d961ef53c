// Kills the starter and the agent at each failpoint of their work: afterwards one instance has run, or none has and the
// next Start brings it about; and nothing is left over.

#include <gmock/gmock.h>

#include <set>

#include "agent/sandbox_test_support.h"

namespace sagebrush::agent {
namespace {

using driver::InstanceSpec;
using driver::InstanceStatus;
using driver::Phase;

class CrashTest : public SandboxTest {
 protected:
  InstanceSpec Job(const std::string& id) { return machine_->Shell(id, "echo life; echo w > /opt/ml/model/weights"); }
  int Lives(const InstanceId& id) {
    std::string log = machine_->Log(id);
    int lives = 0;
    for (size_t at = log.find("life\n"); at != std::string::npos; at = log.find("life\n", at + 1)) ++lives;
    return lives;
  }
};

TEST_F(CrashTest, AnInstanceWhoseFirstProcessDiesBrokeAndNotItsProgram) {
  InstanceSpec spec = machine_->Shell("broken.1.0", "echo life; sleep 600");
  ASSERT_TRUE(machine_->driver().Start(spec).has_value());
  ASSERT_TRUE(machine_->AwaitLog(spec.id, "life"));
  ASSERT_EQ(::kill(machine_->Process(spec.id, 1)->pid, SIGKILL), 0);
  InstanceStatus ended = machine_->Await(spec.id);
  EXPECT_EQ(ended.phase, Phase::kEnded);
  EXPECT_TRUE(ended.machine_failed);
  EXPECT_EQ(ended.failure_reason, "The instance's first process died.");
  InstanceStatus failed = machine_->Run(machine_->Shell("failed.1.0", "exit 3"));
  EXPECT_FALSE(failed.machine_failed);
}

#ifdef SAGEBRUSH_FAILPOINTS

// Run in a process of its own by the test below: starts one instance with the failpoint of its environment.
TEST(CrashHelper, DISABLED_Start) {
  driver::SandboxDriver::Options options;
  options.instances_directory = std::filesystem::path(::getenv("SAGEBRUSH_TEST_DATA")) / "instances";
  options.agent_binary = SandboxMachine::AgentBinary();
  auto driver = driver::SandboxDriver::Open(options);
  ASSERT_TRUE(driver.has_value());
  Result<std::string> text = io::ReadFile(::getenv("SAGEBRUSH_TEST_SPEC"));
  ASSERT_TRUE(text.has_value());
  ASSERT_TRUE((*driver)->Start(*driver::SpecFromJson(*text)).has_value());
}

TEST_F(CrashTest, AStarterKilledAnywhereBringsAboutOneInstance) {
  int number = 0;
  for (const char* failpoint : {"driver.start.before_spec", "driver.start.after_spec", "driver.start.after_launch"}) {
    InstanceSpec spec = Job("starter." + std::to_string(++number) + ".0");
    std::filesystem::path file = machine_->directory() / "spec.json";
    ASSERT_TRUE(io::WriteFile(file, driver::SpecToJson(spec)).has_value());
    Result<io::CommandOutcome> outcome =
        io::Run({{"/proc/self/exe", "--gtest_also_run_disabled_tests", "--gtest_filter=CrashHelper.DISABLED_Start"},
                 {{"SAGEBRUSH_FAILPOINT", failpoint},
                  {"SAGEBRUSH_TEST_DATA", machine_->directory().native()},
                  {"SAGEBRUSH_TEST_SPEC", file.native()}},
                 "",
                 std::chrono::seconds(60)});
    ASSERT_TRUE(outcome.has_value());
    EXPECT_EQ(outcome->exit_code, 128 + SIGKILL) << failpoint << outcome->output;
    machine_->Reopen();
    InstanceStatus status = machine_->Run(spec);
    EXPECT_EQ(status.phase, Phase::kEnded) << failpoint;
    EXPECT_TRUE(status.succeeded) << failpoint << status.failure_reason;
    EXPECT_EQ(Lives(spec.id), 1) << failpoint;
  }
}

TEST_F(CrashTest, AnAgentKilledAnywhereLeavesALostInstanceOrAnEndedOne) {
  const std::vector<std::string> kFailpoints = {"agent.before_fork",           "agent.status.before_write",
                                                "agent.status.after_write",    "driver.sandbox.user_namespace",
                                                "driver.sandbox.before_clone", "driver.sandbox.after_clone",
                                                "agent.status.before_write@2", "agent.status.before_write@3",
                                                "agent.program.before_start",  "agent.log.before_append",
                                                "agent.log.after_append",      "agent.program.after_end",
                                                "agent.status.before_write@4", "agent.outcome.before_write",
                                                "agent.status.before_write@5", "agent.status.after_write@5"};
  int number = 0;
  for (const std::string& failpoint : kFailpoints) {
    machine_->SetAgentFailpoint(failpoint);
    machine_->Reopen();
    InstanceSpec spec = Job("agent." + std::to_string(++number) + ".0");
    Result<void> started = machine_->driver().Start(spec);
    // The agent's death shows as a lock that nobody holds.
    EXPECT_TRUE(SandboxMachine::Eventually([&] { return !driver::IsLocked(machine_->Files(spec.id).lock()); }));
    Result<InstanceStatus> status = machine_->driver().Inspect(spec.id);
    machine_->SetAgentFailpoint("");
    machine_->Reopen();
    if (!status) {
      // Nothing had begun, so the next Start begins it.
      EXPECT_EQ(status.error().kind, ErrorKind::kNotFound) << failpoint;
      EXPECT_TRUE(failpoint == "agent.before_fork" || failpoint == "agent.status.before_write") << failpoint;
      EXPECT_TRUE(machine_->Run(spec).succeeded) << failpoint;
      EXPECT_EQ(Lives(spec.id), 1) << failpoint;
      continue;
    }
    Phase expected = failpoint == "agent.status.after_write@5" ? Phase::kEnded : Phase::kLost;
    EXPECT_EQ(status->phase, expected) << failpoint;
    ASSERT_TRUE(machine_->driver().Start(spec).has_value());
    EXPECT_EQ(machine_->driver().Inspect(spec.id)->phase, expected) << failpoint << ": it is not started anew";
    EXPECT_LE(Lives(spec.id), 1) << failpoint;
  }
}

TEST_F(CrashTest, AHalfDestroyedInstanceIsRemovedByTheNextDriver) {
  std::filesystem::path trash = machine_->directory() / "instances" / ".trash-0123";
  ASSERT_TRUE(io::MakeDirectories(trash / "root/up/etc").has_value());
  EXPECT_TRUE(machine_->driver().List()->empty());
  machine_->Reopen();
  EXPECT_FALSE(std::filesystem::exists(trash));
}

#endif  // SAGEBRUSH_FAILPOINTS

// Run by the test below, in a mount namespace where the data directory lies on a file system of 16 MiB.
TEST(FullDisk, DISABLED_FailsTheInstanceClearly) {
  SandboxMachine machine;
  InstanceSpec spec = machine.Shell("full.1.0", "while :; do echo 0123456789012345678901234567890123456789; done");
  InstanceStatus status = machine.Run(spec);
  EXPECT_EQ(status.phase, Phase::kEnded);
  EXPECT_FALSE(status.succeeded);
  EXPECT_THAT(status.failure_reason, ::testing::HasSubstr("The log cannot be stored"));
  EXPECT_THAT(status.failure_reason, ::testing::HasSubstr("No space left on device"));
  EXPECT_GT(machine.Records(spec.id).size(), 1000u) << "what was stored can be read";
}

TEST_F(CrashTest, AFullDiskFailsTheInstanceClearly) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can mount a small file system for this test";
  std::filesystem::path small = machine_->directory() / "small";
  ASSERT_TRUE(io::MakeDirectories(small).has_value());
  std::string self = std::filesystem::read_symlink("/proc/self/exe");
  Result<io::CommandOutcome> outcome =
      io::Run({{"unshare", "--mount", "--propagation", "private", "sh", "-c",
                "mount -t tmpfs -o size=16m none " + small.native() + " && exec " + self +
                    " --gtest_also_run_disabled_tests --gtest_filter=FullDisk.*"},
               {{"SAGEBRUSH_TEST_BASE", small.native()}},
               "",
               std::chrono::seconds(120)});
  ASSERT_TRUE(outcome.has_value()) << outcome.error().message;
  EXPECT_EQ(outcome->exit_code, 0) << outcome->output;
}

TEST_F(CrashTest, EveryRequirementIsProbedAndHasARemedy) {
  for (const driver::Requirement& requirement : machine_->driver().Fingerprint()) {
    EXPECT_FALSE(requirement.detail.empty()) << requirement.name;
    EXPECT_EQ(requirement.met, requirement.remedy.empty()) << requirement.name;
  }
  std::vector<driver::Requirement> broken = driver::ProbeSandboxRequirements("/nonexistent/agent", "/nonexistent");
  std::set<std::string> unmet;
  for (const driver::Requirement& requirement : broken) {
    if (!requirement.met) unmet.insert(requirement.name);
  }
  EXPECT_TRUE(unmet.contains("the program sagebrush-agent"));
  EXPECT_TRUE(unmet.contains("free disk space"));
}

}  // namespace
}  // namespace sagebrush::agent
