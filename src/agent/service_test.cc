// Instances that serve: what their programs find, how their end is told, and the connections into them.

#include <gmock/gmock.h>
#include <sys/socket.h>

#include <algorithm>

#include "agent/sandbox_test_support.h"
#include "base/clock.h"

namespace sagebrush::agent {
namespace {

using driver::InstanceSpec;
using driver::InstanceStatus;
using driver::Phase;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// Listens when the file "go" is in /opt/ml/model and sends back what comes.
constexpr char kEchoes[] = R"(
import os, socket, sys, threading, time
print("up", flush=True)
while not os.path.exists("/opt/ml/model/go"): time.sleep(0.01)
def echo(connection):
  while text := connection.recv(4096): connection.sendall(text)
server = socket.create_server(("127.0.0.1", 8080), backlog=512)
print("listening", flush=True)
while True: threading.Thread(target=echo, args=(server.accept()[0],), daemon=True).start()
)";

class ServiceTest : public SandboxTest {
 protected:
  InstanceSpec Service(const std::string& id, std::vector<std::string> command) {
    InstanceSpec spec = machine_->Shell(id, "");
    spec.entrypoint.clear();
    spec.service = driver::Service{.command = std::move(command)};
    return spec;
  }

  InstanceStatus Stop(const InstanceSpec& spec) {
    EXPECT_TRUE(machine_->driver().Stop(spec.id, {spec.epoch, "DeleteEndpoint"}).has_value());
    return machine_->Await(spec.id);
  }

  void LetListen(const InstanceId& id) {
    ASSERT_TRUE(machine_->AwaitLog(id, "up")) << machine_->Log(id);
    ASSERT_TRUE(io::WriteFile(machine_->Files(id).ml() / "model/go", "").has_value());
    ASSERT_TRUE(machine_->AwaitLog(id, "listening")) << machine_->Log(id);
  }

  io::UniqueFd Connect(const InstanceId& id) {
    Result<io::UniqueFd> connection = machine_->driver().Connect(id, 8080);
    EXPECT_TRUE(connection.has_value()) << connection.error().message;
    return connection ? std::move(*connection) : io::UniqueFd();
  }

  std::string Refusal(const InstanceId& id) {
    Result<io::UniqueFd> connection = machine_->driver().Connect(id, 8080);
    EXPECT_FALSE(connection.has_value());
    if (connection) return "";
    EXPECT_EQ(connection.error().kind, ErrorKind::kUnavailable);
    return connection.error().message;
  }

  static std::string Echoed(const io::UniqueFd& connection, const std::string& text) {
    EXPECT_TRUE(io::WriteAll(connection.get(), text).has_value());
    std::string back;
    pollfd waiting{connection.get(), POLLIN, 0};
    while (back.size() < text.size() && ::poll(&waiting, 1, 60'000) == 1) {
      char bytes[256];
      ssize_t got = ::recv(connection.get(), bytes, sizeof bytes, 0);
      if (got <= 0) break;
      back.append(bytes, static_cast<size_t>(got));
    }
    return back;
  }

  size_t DescriptorsOfAgent(const InstanceId& id) {
    std::filesystem::path directory = "/proc/" + std::to_string(machine_->Process(id, 0)->pid) + "/fd";
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(directory), {}));
  }
};

TEST_F(ServiceTest, AServerFindsWhatAHostedContainerHas) {
  std::filesystem::path venv = machine_->directory() / "venv";
  ASSERT_TRUE(io::MakeDirectories(venv / "bin").has_value());
  ASSERT_TRUE(io::WriteFile(venv / "bin/serve",
                            "#!/bin/sh\n"
                            "pwd; echo \"$@\"; echo $SAGEMAKER_BIND_TO_PORT $AWS_REGION $HOME; ls -A /opt/ml\n"
                            "cd /opt/ml/model && find . -type f | sort; echo here > new\n"
                            "env | grep -c -e ^SM_ -e ^TF_CONFIG -e ^PYTHONPATH; echo $PATH\n"
                            "trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done\n",
                            0755)
                  .has_value());
  ::chmod((venv / "bin/serve").c_str(), 0755);
  InstanceSpec spec = Service("whole.1.0", {"serve", "it"});
  spec.environment.venv = venv;
  spec.variables = {{"SAGEMAKER_BIND_TO_PORT", "8080"}, {"AWS_REGION", "us-west-2"}};
  spec.service->model_archive = machine_->Tar({{"1/saved_model.pb", "model"}, {"code/inference.py", "x = 1"}});
  ASSERT_TRUE(machine_->driver().Start(spec).has_value());
  ASSERT_TRUE(machine_->AwaitLog(spec.id, "ready")) << machine_->Log(spec.id);
  InstanceStatus status = Stop(spec);
  EXPECT_TRUE(status.succeeded) << status.failure_reason;
  EXPECT_TRUE(status.stopped);
  EXPECT_GE(status.training_ended_ms, status.training_started_ms);
  EXPECT_THAT(
      machine_->Log(spec.id),
      StartsWith("/\nit\n8080 us-west-2 /root\nmodel\n./1/saved_model.pb\n./code/inference.py\n0\n" +
                 (venv / "bin").native() + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nready\n"));
  EXPECT_TRUE(std::filesystem::is_empty(machine_->Files(spec.id).artifacts())) << "nothing is packed";
}

TEST_F(ServiceTest, AMissingProgramIsNamedWithWhatAnImageMustHave) {
  for (const char* command : {"serve", "/opt/program/serve", "/etc/hosts"}) {
    InstanceSpec spec = Service("missing.1." + std::to_string(std::string(command).size()), {command});
    InstanceStatus status = machine_->Run(spec);
    EXPECT_FALSE(status.succeeded);
    EXPECT_EQ(status.training_started_ms, 0);
    EXPECT_THAT(status.failure_reason, HasSubstr("no program \"" + std::string(command) + "\""));
    EXPECT_THAT(status.failure_reason, HasSubstr("/invocations on port 8080"));
  }
}

TEST_F(ServiceTest, ABrokenOrHostileArchiveIsNamed) {
  InstanceSpec spec = Service("broken.1.0", {"/bin/true"});
  spec.service->model_source = "s3://bucket/model.tar.gz";
  spec.service->model_archive = machine_->directory() / "broken";
  ASSERT_TRUE(io::WriteFile(spec.service->model_archive, std::string(5000, 'x')).has_value());
  InstanceStatus status = machine_->Run(spec);
  EXPECT_FALSE(status.succeeded);
  EXPECT_THAT(status.failure_reason, HasSubstr("The model archive s3://bucket/model.tar.gz cannot be unpacked"));

  std::filesystem::path evil = machine_->directory() / "evil";
  ASSERT_TRUE(io::MakeDirectories(evil).has_value());
  std::filesystem::create_symlink("/etc", evil / "escape");
  InstanceSpec hostile = Service("hostile.1.0", {"/bin/true"});
  hostile.service->model_archive = evil.native() + ".tar.gz";
  SandboxMachine::Shown({"tar", "-czf", hostile.service->model_archive, "-C", evil.native(), "."});
  status = machine_->Run(hostile);
  EXPECT_FALSE(status.succeeded);
  EXPECT_EQ(status.training_started_ms, 0);
  EXPECT_THAT(status.failure_reason, HasSubstr("The model archive is refused: its member \"./escape\""));
}

TEST_F(ServiceTest, AnEndThatNobodyAskedForIsToldInTheServersLastWords) {
  const std::pair<const char*, const char*> ends[] = {
      {"echo no model here; exit 3", "the server ended with exit code 3 before it was stopped: no model here"},
      {"exit 0", "the server ended with exit code 0 before it was stopped"},
      {"kill -SEGV $$", "the server was killed by signal 11 (SIGSEGV) before it was stopped"},
      {"python3 -c 'raise ValueError(\"bad weights\")'", "before it was stopped: ValueError: bad weights"},
  };
  int number = 0;
  for (const auto& [script, reason] : ends) {
    InstanceStatus status = machine_->Run(Service("ends.1." + std::to_string(++number), {"/bin/sh", "-c", script}));
    EXPECT_FALSE(status.succeeded) << script;
    EXPECT_FALSE(status.stopped) << script;
    EXPECT_THAT(status.failure_reason, HasSubstr(reason));
  }
}

TEST_F(ServiceTest, ALatePortIsUnavailableUntilItIsOpened) {
  InstanceSpec spec = Service("late.1.0", {"python3", "-c", kEchoes});
  spec.network_isolation = true;
  ASSERT_TRUE(machine_->driver().Start(spec).has_value());
  ASSERT_TRUE(machine_->AwaitLog(spec.id, "up"));
  EXPECT_EQ(machine_->driver().Inspect(spec.id)->phase, Phase::kTraining);
  EXPECT_THAT(Refusal(spec.id), HasSubstr("nothing listens there"));
  LetListen(spec.id);
  EXPECT_EQ(Echoed(Connect(spec.id), "late"), "late");
  ::kill(machine_->Process(spec.id, 0)->pid, SIGKILL);
  EXPECT_EQ(machine_->Await(spec.id).phase, Phase::kLost);
  EXPECT_THAT(Refusal(spec.id), HasSubstr("it does not run"));
}

TEST_F(ServiceTest, HundredsOfConnectionsAtOnceCostTheAgentNothing) {
  constexpr int kConnections = 400;
  InstanceSpec spec = Service("many.1.0", {"python3", "-c", kEchoes});
  ASSERT_TRUE(machine_->driver().Start(spec).has_value());
  LetListen(spec.id);
  size_t before = DescriptorsOfAgent(spec.id);
  std::vector<io::UniqueFd> connections(kConnections);
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 8; ++caller) {
    callers.emplace_back([&, caller] {
      for (int i = caller; i < kConnections; i += 8) connections[static_cast<size_t>(i)] = Connect(spec.id);
    });
  }
  for (std::thread& caller : callers) caller.join();
  machine_->Reopen();  // they belong to whoever asked, not to the driver
  for (size_t i = 0; i < connections.size(); ++i)
    EXPECT_EQ(Echoed(connections[i], std::to_string(i)), std::to_string(i));
  EXPECT_EQ(DescriptorsOfAgent(spec.id), before);
  EXPECT_EQ(Echoed(Connect(spec.id), "another"), "another");
  EXPECT_TRUE(Stop(spec).succeeded);
  char byte;
  EXPECT_LE(::recv(connections.front().get(), &byte, 1, 0), 0) << "they end with the instance";
}

TEST_F(ServiceTest, TrainingInstancesOfOneJobAreReachedEachByItself) {
  std::vector<InstanceSpec> specs;
  for (int rank = 0; rank < 2; ++rank) {
    InstanceSpec spec = machine_->Shell("pair.1." + std::to_string(rank), "");
    spec.rank = rank;
    spec.count = 2;
    spec.entrypoint = {"python3", "-c",
                       "import socket\n"
                       "server = socket.create_server(('127.0.0.1', 8080))\n"
                       "print('listening', flush=True)\n"
                       "while True: server.accept()[0].sendall(socket.gethostname().encode())\n"};
    ASSERT_TRUE(machine_->driver().Start(spec).has_value());
    specs.push_back(spec);
  }
  for (const InstanceSpec& spec : specs) {
    ASSERT_TRUE(machine_->AwaitLog(spec.id, "listening")) << machine_->Log(spec.id);
    io::UniqueFd connection = Connect(spec.id);
    pollfd waiting{connection.get(), POLLIN, 0};
    ASSERT_EQ(::poll(&waiting, 1, 60'000), 1);
    char name[16];
    ssize_t got = ::recv(connection.get(), name, sizeof name, 0);
    EXPECT_EQ(std::string(name, static_cast<size_t>(std::max<ssize_t>(got, 0))),
              "algo-" + std::to_string(spec.rank + 1));
  }
}

// A server that accepts nothing holds up its caller for a second, and the agent not at all.
TEST_F(ServiceTest, AFullServerDoesNotHoldUpTheAgent) {
  InstanceSpec spec = Service("full.1.0", {"python3", "-c",
                                           "import socket, time\n"
                                           "server = socket.create_server(('127.0.0.1', 8080), backlog=0)\n"
                                           "print('listening', flush=True)\n"
                                           "while True: print('tick', flush=True); time.sleep(0.01)\n"});
  ASSERT_TRUE(machine_->driver().Start(spec).has_value());
  ASSERT_TRUE(machine_->AwaitLog(spec.id, "listening"));
  std::vector<io::UniqueFd> taken;
  std::string refusal;
  while (refusal.empty() && taken.size() < 10) {
    Result<io::UniqueFd> connection = machine_->driver().Connect(spec.id, 8080);
    if (connection) taken.push_back(std::move(*connection));
    if (!connection) refusal = connection.error().message;
  }
  EXPECT_THAT(refusal, HasSubstr("accepts no more connections"));
  std::thread caller([&] { Refusal(spec.id); });
  std::string log = machine_->Log(spec.id);
  EXPECT_TRUE(SandboxMachine::Eventually([&] { return machine_->Log(spec.id).size() > log.size() + 50; }));
  caller.join();
  EXPECT_TRUE(Stop(spec).succeeded);
}

TEST_F(ServiceTest, AConnectionIsHadInAMillisecond) {
  InstanceSpec spec = Service("quick.1.0", {"python3", "-c", kEchoes});
  ASSERT_TRUE(machine_->driver().Start(spec).has_value());
  LetListen(spec.id);
  std::vector<std::chrono::nanoseconds> costs;
  for (int i = 0; i < 300; ++i) {
    auto before = std::chrono::steady_clock::now();
    io::UniqueFd connection = Connect(spec.id);
    costs.push_back(std::chrono::steady_clock::now() - before);
  }
  std::sort(costs.begin(), costs.end());
  std::printf("Connect: median %.0f us, p99 %.0f us\n", costs[150].count() / 1e3, costs[297].count() / 1e3);
  EXPECT_LT(costs[30], std::chrono::milliseconds(1)) << "the quickest tenth, on a machine that may have more to do";
}

class ModelServerTest : public ServiceTest {
 protected:
  void SetUp() override {
    ServiceTest::SetUp();
    const char* models = ::getenv("SAGEBRUSH_SERVING_MODELS");
    const char* tensorflow = ::getenv("SAGEBRUSH_TENSORFLOW");
    if (models == nullptr || tensorflow == nullptr) {
      GTEST_SKIP() << "set SAGEBRUSH_SERVING_MODELS and SAGEBRUSH_TENSORFLOW, as ./test does";
    }
    models_ = models;
    tensorflow_ = tensorflow;
  }

  // As the engine shows it: the program of the host, which stands where no instance sees it, and its library.
  InstanceSpec ModelServer(const std::string& id) {
    std::filesystem::path hidden = machine_->directory() / "bin/sagebrush-model-server";
    EXPECT_TRUE(io::MakeDirectories(hidden.parent_path()).has_value());
    std::filesystem::copy_file(SandboxMachine::ModelServerBinary(), hidden);
    InstanceSpec spec = Service(id, {hidden, "serve"});
    spec.environment.read_only = {hidden.parent_path(), tensorflow_};
    spec.variables = {{"SAGEBRUSH_TENSORFLOW", tensorflow_},
                      {"SAGEMAKER_BIND_TO_PORT", "8080"},
                      {"SAGEMAKER_TFS_DEFAULT_MODEL_NAME", "half_plus_two"}};
    spec.service->model_archive = machine_->directory() / (id + ".tar.gz");
    std::string packed =
        SandboxMachine::Shown({"tar", "-czf", spec.service->model_archive, "-C", models_.native(), "half_plus_two"});
    EXPECT_EQ(packed, "");
    return spec;
  }

  // The whole answer; "" when nobody answers.
  std::string Ask(const InstanceId& id, const std::string& request) {
    Result<io::UniqueFd> connection = machine_->driver().Connect(id, 8080);
    if (!connection || !io::WriteAll(connection->get(), request)) return "";
    std::string answer;
    pollfd waiting{connection->get(), POLLIN, 0};
    while (::poll(&waiting, 1, 60'000) == 1) {
      char bytes[4096];
      ssize_t got = ::recv(connection->get(), bytes, sizeof bytes, 0);
      if (got <= 0) break;
      answer.append(bytes, static_cast<size_t>(got));
    }
    return answer;
  }

  std::filesystem::path models_, tensorflow_;
};

TEST_F(ModelServerTest, AnswersPingAndInvocationsFromItsInstance) {
  InstanceSpec spec = ModelServer("model.1.0");
  int64_t started_ms = WallClockMs();
  ASSERT_TRUE(machine_->driver().Start(spec).has_value());
  bool healthy = false;
  ASSERT_TRUE(SandboxMachine::Eventually([&] {
    healthy = Ask(spec.id, "GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").starts_with("HTTP/1.1 200");
    return healthy || machine_->driver().Inspect(spec.id)->phase == Phase::kEnded;
  }));
  ASSERT_TRUE(healthy) << machine_->driver().Inspect(spec.id)->failure_reason << machine_->Log(spec.id);
  int64_t healthy_ms = WallClockMs();
  InstanceStatus running = *machine_->driver().Inspect(spec.id);
  std::printf("Start to the server's start: %ld ms; from there to the first 200 of /ping: %ld ms\n",
              static_cast<long>(running.training_started_ms - started_ms),
              static_cast<long>(healthy_ms - running.training_started_ms));
  EXPECT_THAT(Ask(spec.id,
                  "POST /invocations HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
                  "Content-Length: 25\r\n\r\n{\"instances\":[1.0, 2, 5]}\n"),
              HasSubstr("[2.5, 3.0, 4.5"));
  InstanceStatus status = Stop(spec);
  EXPECT_TRUE(status.succeeded) << status.failure_reason;
  EXPECT_EQ(status.exit_code, 0) << "it lets requests in flight end";
}

TEST_F(ModelServerTest, TellsInItsOwnWordsWhyItCannotServe) {
  InstanceSpec spec = ModelServer("empty.1.0");
  spec.service->model_archive = machine_->Tar({{"notes.txt", "no model"}});
  InstanceStatus status = machine_->Run(spec);
  EXPECT_FALSE(status.succeeded);
  EXPECT_THAT(status.failure_reason,
              StartsWith("the server ended with exit code 1 before it was stopped: no SavedModel bundles found!"));
}

}  // namespace
}  // namespace sagebrush::agent
