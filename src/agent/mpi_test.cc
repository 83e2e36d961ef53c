// MPI jobs: what mpirun is told and says, and real runs of it over instances. The environment's Python is a stand-in, a
// shell script.

#include "agent/mpi.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "agent/sandbox_test_support.h"

namespace sagebrush::agent {
namespace {

using driver::InstanceSpec;
using driver::InstanceStatus;
using driver::Phase;
using ::testing::ContainsRegex;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

InstanceSpec Job(int count, std::map<std::string, std::string> hyperparameters) {
  InstanceSpec spec;
  spec.count = count;
  spec.commands = "/commands";
  spec.environment.venv = "/venv";
  spec.hyperparameters = std::move(hyperparameters);
  spec.hyperparameters["sagemaker_mpi_enabled"] = "true";
  return spec;
}

std::string Command(const InstanceSpec& spec, bool mpi4py, int cpus, const std::vector<std::string>& environment) {
  Result<std::optional<MpiSettings>> settings = MpiOf(spec, Hyperparameters::Decode(spec.hyperparameters));
  EXPECT_TRUE(settings && *settings);
  return JoinCommand(
      MpirunCommand(spec, **settings, {"/venv/bin/python", "train.py", "--lr", "0.1"}, environment, mpi4py, cpus));
}

TEST(MpiCommandTest, IsTheHostedToolkits) {
  InstanceSpec spec = Job(2, {{"sagemaker_mpi_num_of_processes_per_host", "4"},
                              {"sagemaker_mpi_custom_mpi_options", "\"--NCCL_DEBUG WARN  -verbose -x A=b\""}});
  EXPECT_EQ(Command(spec, true, 8,
                    {"AWS_ACCESS_KEY_ID=k", "HOME=/root", "LD_LIBRARY_PATH=/l", "PATH=/bin", "SM_HOSTS=[]",
                     "SM_NETWORK_INTERFACE_NAME=net7"}),
            "mpirun --host algo-1:4,algo-2:4 -np 8 --allow-run-as-root --display-map --tag-output "
            "-mca btl_tcp_if_include net7 -mca oob_tcp_if_include net7 -mca plm_rsh_no_tree_spawn 1 "
            "-mca plm_rsh_agent /commands/ssh -bind-to none -map-by slot -mca pml ob1 -mca btl '^openib' "
            "-mca orte_abort_on_non_zero_status 1 -mca btl_vader_single_copy_mechanism none "
            "-x NCCL_SOCKET_IFNAME=net7 -x NCCL_DEBUG=WARN -verbose -x A=b -x AWS_ACCESS_KEY_ID -x LD_LIBRARY_PATH "
            "-x PATH -x SM_HOSTS -x SM_NETWORK_INTERFACE_NAME /venv/bin/python -m mpi4py train.py --lr 0.1");
}

TEST(MpiCommandTest, OneProcessEachIsTheDefaultAndPlainPythonWithoutMpi4py) {
  std::string command = Command(Job(3, {}), false, 3, {});
  EXPECT_THAT(command, HasSubstr("--host algo-1,algo-2,algo-3 -np 3 "));
  EXPECT_THAT(command, HasSubstr("-x NCCL_DEBUG=INFO /venv/bin/python train.py --lr 0.1"));
  EXPECT_THAT(command, Not(HasSubstr("mpi_yield_when_idle")));
  EXPECT_THAT(Command(Job(3, {}), false, 2, {}), HasSubstr("-mca mpi_yield_when_idle 1"));
}

TEST(MpiCommandTest, TheJobsOwnOptionsTakeThePlaceOfTheDefaults) {
  std::string command = Command(
      Job(2, {{"sagemaker_mpi_custom_mpi_options",
               "\"--mca btl self,tcp -mca mpi_yield_when_idle 0 --bind-to core -x SM_HOSTS=[] -x NCCL_DEBUG=X\""}}),
      false, 1, {"SM_HOSTS=[1]", "SM_HPS={}"});
  EXPECT_THAT(command,
              HasSubstr("-map-by slot -mca pml ob1 -mca orte_abort_on_non_zero_status 1 "
                        "-mca btl_vader_single_copy_mechanism none -x NCCL_SOCKET_IFNAME=eth0 --mca btl self,tcp "
                        "-mca mpi_yield_when_idle 0 --bind-to core -x 'SM_HOSTS=[]' -x NCCL_DEBUG=X -x SM_HPS "));
}

TEST(MpiCommandTest, SaysWhatIsWrong) {
  auto message = [](std::map<std::string, std::string> hyperparameters) {
    InstanceSpec spec = Job(2, std::move(hyperparameters));
    Result<std::optional<MpiSettings>> settings = MpiOf(spec, Hyperparameters::Decode(spec.hyperparameters));
    return settings ? std::string() : settings.error().message;
  };
  EXPECT_THAT(message({{"sagemaker_mpi_num_of_processes_per_host", "0"}}), HasSubstr("\"0\""));
  EXPECT_THAT(message({{"sagemaker_mpi_num_of_processes_per_host", "\"two\""}}), HasSubstr("\"two\""));
  EXPECT_THAT(message({{"sagemaker_mpi_num_of_processes_per_host", "3000"}}), HasSubstr("4096"));
  EXPECT_THAT(message({{"sagemaker_mpi_custom_mpi_options", "\"-v --NCCL_DEBUG\""}}), HasSubstr("needs a value"));
  EXPECT_EQ(message({{"sagemaker_mpi_num_of_processes_per_host", "\"2\""}}), "");
}

TEST(MpiCommandTest, NeedsToBeAskedFor) {
  InstanceSpec spec = Job(2, {});
  spec.hyperparameters["sagemaker_mpi_enabled"] = "false";
  EXPECT_FALSE(MpiOf(spec, Hyperparameters::Decode(spec.hyperparameters))->has_value());
}

MpiOutput Read(const std::vector<std::string>& lines) {
  MpiOutput output;
  for (const std::string& line : lines) output.Take(line);
  return output;
}

TEST(MpiOutputTest, FindsTheProcessThatFailedItsHostAndItsOwnLines) {
  MpiOutput output = Read({
      " Data for node: algo-1\tNum slots: 2\tMax slots: 0\tNum procs: 1",
      " \tProcess OMPI jobid: [19191,1] App: 0 Process rank: 0 Bound: N/A",
      " Data for node: algo-2\tNum slots: 2\tMax slots: 0\tNum procs: 1",
      " \tProcess OMPI jobid: [19191,1] App: 0 Process rank: 1 Bound: N/A",
      "[1,1]<stdout>:hello [1,0]<stdout>:and [1,1]<stdout>:1",
      "[1,0]<stdout>:me",
      "[1,1]<stderr>:Traceback (most recent call last):",
      "[1,0]<stderr>:Traceback (most recent call last):",
      "[1,1]<stderr>:ValueError[1,1]<stderr>:: [1,1]<stderr>:bad [thing, or so]",
      "  Process name: [[19191,1],1]",
      "  Process name: [[19191,1],0]",
  });
  ASSERT_TRUE(output.failed().has_value());
  EXPECT_EQ(output.failed()->rank, 1);
  EXPECT_EQ(output.failed()->host, "algo-2");
  EXPECT_EQ(output.failed()->signal, 0);
  EXPECT_THAT(output.failed()->last_lines,
              ElementsAre("hello 1", "Traceback (most recent call last):", "ValueError: bad [thing, or so]"));
}

TEST(MpiOutputTest, WithoutMpirunsWordTheFirstTracebackCounts) {
  MpiOutput output = Read({"[1,0]<stdout>:fine", "[1,1]<stderr>:Traceback (most recent call last):",
                           "[1,0]<stderr>:Traceback (most recent call last):", "[1,1]<stderr>:ValueError"});
  ASSERT_TRUE(output.failed().has_value());
  EXPECT_EQ(output.failed()->rank, 1);
  EXPECT_THAT(output.failed()->last_lines, ElementsAre("Traceback (most recent call last):", "ValueError"));
}

TEST(MpiOutputTest, KnowsSignalsAndAborts) {
  MpiOutput killed =
      Read({"mpirun noticed that process rank 3 with PID 0 on node algo-2 exited on signal 9 (Killed)."});
  EXPECT_EQ(killed.failed()->rank, 3);
  EXPECT_EQ(killed.failed()->signal, 9);
  EXPECT_EQ(Read({"MPI_ABORT was invoked on rank 2 in communicator MPI_COMM_WORLD"}).failed()->rank, 2);
  EXPECT_FALSE(Read({"[1,0]<stdout>:  Process name: [[1,1],5]", "[x", "[1,2]<stdin>:", "[,]<stdout>:"}).failed());
}

class MpiTest : public SandboxTest {
 protected:
  void SetUp() override {
    if (SandboxMachine::Shown({"sh", "-c", "command -v mpirun"}).empty()) GTEST_SKIP() << "there is no mpirun here";
    SandboxTest::SetUp();
  }
  // Host `rank` + 1 of two with two processes each, which run `program` with $R, their rank.
  InstanceSpec Host(int rank, const std::string& program, const std::string& processes = "2") {
    std::string name = "mpi.1." + std::to_string(rank);
    std::filesystem::path venv = machine_->directory() / "venv";
    EXPECT_TRUE(io::MakeDirectories(venv / "bin").has_value());
    EXPECT_TRUE(io::WriteFile(
                    venv / "bin/python",
                    "#!/bin/sh\nR=$OMPI_COMM_WORLD_RANK\nif [ \"$1\" = -c ]; then exit 1; fi\n" + program + "\n", 0755)
                    .has_value());
    ::chmod((venv / "bin/python").c_str(), 0755);
    InstanceSpec spec = machine_->Shell(name, "");
    spec.entrypoint.clear();
    spec.rank = rank;
    spec.count = 2;
    spec.commands = SandboxMachine::Commands();
    spec.environment.read_only = {SandboxMachine::Commands()};
    spec.environment.venv = venv;
    spec.source_archive = machine_->Tar({{"train.py", ""}});
    spec.hyperparameters = {{"sagemaker_program", "\"train.py\""},
                            {"sagemaker_mpi_enabled", "true"},
                            {"sagemaker_mpi_num_of_processes_per_host", processes},
                            {"lr", "0.1"}};
    return spec;
  }
  std::pair<InstanceStatus, InstanceStatus> RunBoth(const std::string& program) {
    InstanceSpec second = Host(1, program), first = Host(0, program);
    EXPECT_TRUE(machine_->driver().Start(second).has_value());
    EXPECT_TRUE(machine_->driver().Start(first).has_value());
    return {machine_->Await(first.id), machine_->Await(second.id)};
  }
  const InstanceId first_{"mpi.1.0"}, second_{"mpi.1.1"};
};

TEST_F(MpiTest, ProcessesRunOnEveryHostAndAllEndTogether) {
  auto [first, second] = RunBoth(
      "echo \"rank $R of $OMPI_COMM_WORLD_SIZE on $(hostname) in $PWD: $* $SM_HP_LR\"; echo $R >/opt/ml/model/$R");
  EXPECT_TRUE(first.succeeded) << first.failure_reason << machine_->Log(first_);
  EXPECT_TRUE(second.succeeded) << second.failure_reason;
  std::string log = machine_->Log(first_);
  for (int rank = 0; rank < 4; ++rank) {
    EXPECT_THAT(log, HasSubstr("rank " + std::to_string(rank) + " of 4 on algo-" + std::to_string(rank / 2 + 1) +
                               " in /opt/ml/code: train.py --lr 0.1 0.1\n"));
  }
  EXPECT_EQ(machine_->Log(second_), "");
  EXPECT_TRUE(std::filesystem::exists(machine_->Files(second_).ml() / "model/3"));
  EXPECT_FALSE(std::filesystem::exists(machine_->Files(second_).ml() / "model/1"));
}

TEST_F(MpiTest, AFailureIsTheProcesssOwnWordsWithItsHost) {
  auto [first, second] = RunBoth(
      "[ $R = 2 ] || exec sleep 1000; echo 'Traceback (most recent call last):' >&2; echo '  File \"train.py\", line "
      "1' "
      ">&2; echo 'ValueError: number two has had enough' >&2; exit 1");
  EXPECT_FALSE(first.succeeded);
  EXPECT_THAT(first.failure_reason,
              HasSubstr("ErrorMessage \"rank 2 on algo-2: ValueError: number two has had enough\""));
  EXPECT_THAT(first.failure_reason, HasSubstr("Command \"mpirun --host algo-1:2,algo-2:2"));
  EXPECT_TRUE(second.succeeded);
}

TEST_F(MpiTest, ASignalIsNamed) {
  // mpirun itself loses its word on which one it was, at times.
  EXPECT_THAT(RunBoth("[ $R = 1 ] || exec sleep 1000; kill -9 $$").first.failure_reason,
              ContainsRegex("ExitCode 137\nErrorMessage \"(rank 1 on algo-1|a rank): killed by signal 9 .SIGKILL"));
}

TEST_F(MpiTest, AStopReachesTheProcessesOfEveryHostWhichMayTakeTheirTime) {
  std::string program =
      "trap 'sleep 2; echo \"rank $R is done\"; exit 0' TERM; echo \"ready $R\"; while :; do sleep 0.05; done";
  InstanceSpec second = Host(1, program), first = Host(0, program);
  ASSERT_TRUE(machine_->driver().Start(second).has_value());
  ASSERT_TRUE(machine_->driver().Start(first).has_value());
  for (const char* rank : {"0", "1", "2", "3"}) ASSERT_TRUE(machine_->AwaitLog(first.id, std::string("ready ") + rank));
  for (const InstanceSpec* host : {&first, &second}) {
    ASSERT_TRUE(machine_->driver().Stop(host->id, {Epoch{1}, "StopTrainingJob"}).has_value());
  }
  EXPECT_TRUE(machine_->Await(first.id).stopped);
  EXPECT_TRUE(machine_->Await(second.id).stopped);
  for (const char* rank : {"0", "1", "2", "3"}) {
    EXPECT_THAT(machine_->Log(first.id), HasSubstr(std::string("rank ") + rank + " is done"));
  }
}

TEST_F(MpiTest, AProgramThatDoesNotHeedAStopIsKilledAfterTheGrace) {
  std::string program = "trap '' TERM; echo \"ready $R\"; while :; do sleep 0.05; done";
  InstanceSpec second = Host(1, program), first = Host(0, program);
  first.stop_grace_ms = second.stop_grace_ms = 300;
  ASSERT_TRUE(machine_->driver().Start(second).has_value());
  ASSERT_TRUE(machine_->driver().Start(first).has_value());
  for (const char* rank : {"0", "1", "2", "3"}) ASSERT_TRUE(machine_->AwaitLog(first.id, std::string("ready ") + rank));
  for (const InstanceSpec* host : {&first, &second}) {
    ASSERT_TRUE(machine_->driver().Stop(host->id, {Epoch{1}, "StopTrainingJob"}).has_value());
  }
  EXPECT_EQ(machine_->Await(first.id).phase, Phase::kEnded);
  EXPECT_EQ(machine_->Await(second.id).phase, Phase::kEnded);
}

TEST_F(MpiTest, AHostThatIsLostEndsTheJob) {
  std::string program = "echo \"ready $R\"; exec sleep 1000";
  InstanceSpec second = Host(1, program), first = Host(0, program);
  ASSERT_TRUE(machine_->driver().Start(second).has_value());
  ASSERT_TRUE(machine_->driver().Start(first).has_value());
  for (const char* rank : {"0", "1", "2", "3"}) ASSERT_TRUE(machine_->AwaitLog(first.id, std::string("ready ") + rank));
  ASSERT_TRUE(driver::KillAndWait(*machine_->Process(second.id, 0), 10'000).has_value());
  EXPECT_FALSE(machine_->Await(first.id).succeeded);
}

TEST_F(MpiTest, WithoutMpirunTheReasonSaysWhatToInstall) {
  InstanceSpec first = Host(0, "true");
  first.count = 1;
  std::filesystem::path bin = machine_->directory() / "bin";
  ASSERT_TRUE(io::MakeDirectories(bin).has_value());
  first.variables["PATH"] = bin;
  InstanceStatus status = machine_->Run(first);
  EXPECT_FALSE(status.succeeded);
  EXPECT_THAT(status.failure_reason, HasSubstr("apt-get install openmpi-bin"));
}

TEST_F(MpiTest, OutOfMemoryIsToldOfTheHostWhoseLimitItWas) {
  std::string program = "[ $R = 2 ] || exec sleep 1000; exec python3 -c 'x = b\"x\" * (1 << 30); raise SystemExit(3)'";
  InstanceSpec second = Host(1, program), first = Host(0, program);
  first.limits.memory_bytes = second.limits.memory_bytes = int64_t{256} << 20;
  ASSERT_TRUE(machine_->driver().Start(second).has_value());
  ASSERT_TRUE(machine_->driver().Start(first).has_value());
  InstanceStatus status = machine_->Await(second.id), of_first = machine_->Await(first.id);
  if (machine_->SaysNoLimit(second.id, "memory")) GTEST_SKIP() << "no memory limit can be set here";
  EXPECT_THAT(status.failure_reason, HasSubstr("OutOfMemory"));
  EXPECT_LT(status.training_ended_ms, of_first.training_ended_ms) << "the earlier failure is the job's";
}

}  // namespace
}  // namespace sagebrush::agent
