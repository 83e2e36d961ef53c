// Jobs as the SDK submits them, run in real instances with the machine's own Python.

#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "agent/sandbox_test_support.h"
#include "base/clock.h"

namespace sagebrush::agent {
namespace {

using driver::InstanceSpec;
using driver::InstanceStatus;
using driver::Phase;
using ::testing::HasSubstr;
using ::testing::Not;

class ToolkitTest : public SandboxTest {
 protected:
  InstanceSpec Script(const std::string& id, const std::vector<std::pair<std::string, std::string>>& files,
                      const std::string& program = "train.py") {
    InstanceSpec spec = machine_->Shell(id, "");
    spec.entrypoint.clear();
    spec.source_archive = machine_->Tar(files);
    spec.hyperparameters["sagemaker_program"] = "\"" + program + "\"";
    spec.hyperparameters["sagemaker_submit_directory"] = "\"s3://bucket/sourcedir.tar.gz\"";
    spec.resource_config_json = R"({"current_host":"algo-1","hosts":["algo-1"]})";
    return spec;
  }
};

TEST_F(ToolkitTest, APythonScriptGetsEverythingItExpects) {
  InstanceSpec spec =
      Script("full.1.0", {{"train.py",
                           "import os, sys, json, helper\n"
                           "print(sys.argv, os.getcwd(), os.environ['SM_HP_EPOCHS'], helper.x)\n"
                           "print(json.load(open('/opt/ml/input/config/hyperparameters.json'))['epochs'])\n"
                           "print(json.load(open('/opt/ml/input/config/resourceconfig.json'))['hosts'])\n"
                           "print(json.load(open('/opt/ml/input/config/inputdataconfig.json')))\n"
                           "open(os.environ['SM_MODEL_DIR'] + '/weights', 'w').write('w')\n"
                           "open(os.environ['SM_OUTPUT_DATA_DIR'] + '/curve', 'w').write('c')\n"
                           "os.makedirs('/opt/ml/checkpoints/1')\n"},
                          {"helper.py", "x = 'helped'"}});
  spec.hyperparameters["epochs"] = "2";
  InstanceStatus status = machine_->Run(spec);
  EXPECT_TRUE(status.succeeded) << status.failure_reason << machine_->Log(spec.id);
  EXPECT_EQ(machine_->Log(spec.id), "['train.py', '--epochs', '2'] /opt/ml/code 2 helped\n2\n['algo-1']\n{}\n");
  EXPECT_EQ(SandboxMachine::Shown({"tar", "-tzf", status.model_archive.native()}), "weights\n");
  EXPECT_EQ(SandboxMachine::Shown({"tar", "-tzf", status.output_archive.native()}), "curve\n");
}

TEST_F(ToolkitTest, ShellEntryPointsGetTheArgumentsToo) {
  InstanceSpec spec = Script("shell.1.0", {{"run.sh", "#!/bin/sh\necho \"$@\" $SM_CURRENT_HOST; exit 7"}}, "run.sh");
  spec.hyperparameters["epochs"] = "2";
  InstanceStatus status = machine_->Run(spec);
  EXPECT_EQ(status.exit_code, 7);
  EXPECT_EQ(machine_->Log(spec.id), "--epochs 2 algo-1\n");
  EXPECT_THAT(status.failure_reason, HasSubstr("ExitCode 7"));
}

TEST_F(ToolkitTest, FailuresAreToldInTheProgramsOwnWords) {
  InstanceStatus status =
      machine_->Run(Script("raise.1.0", {{"train.py", "def f():\n  raise ValueError('bad shape')\nf()"}}));
  EXPECT_FALSE(status.succeeded);
  EXPECT_EQ(status.exit_code, 1);
  EXPECT_EQ(
      status.failure_reason,
      "ExecuteUserScriptError:\nExitCode 1\nErrorMessage \"ValueError: bad shape\"\nCommand \"python3 train.py\"");
  status = machine_->Run(Script("syntax.1.0", {{"train.py", "print('x'\n"}}));
  EXPECT_THAT(status.failure_reason, HasSubstr("SyntaxError: '(' was never closed"));
  status = machine_->Run(Script(
      "own.1.0", {{"train.py", "open('/opt/ml/output/failure','w').write('my own words')\nraise SystemExit(2)"}}));
  EXPECT_EQ(status.failure_reason, "my own words");
  status = machine_->Run(Script("segv.1.0", {{"train.py", "import os\nos.kill(os.getpid(), 11)"}}));
  EXPECT_EQ(status.signal, 11);
  EXPECT_THAT(status.failure_reason, HasSubstr("SIGSEGV"));
  EXPECT_FALSE(status.model_archive.empty()) << "a failed job leaves what it has, too";
}

TEST_F(ToolkitTest, WhatCannotRunSaysWhatToDo) {
  InstanceSpec spec = machine_->Shell("none.1.0", "");
  spec.entrypoint.clear();
  EXPECT_THAT(machine_->Run(spec).failure_reason, HasSubstr("entry_point"));
  EXPECT_THAT(machine_->Run(Script("missing.1.0", {{"other.py", ""}})).failure_reason, HasSubstr("no file train.py"));
  spec = Script("broken.1.0", {{"train.py", ""}});
  ASSERT_TRUE(io::WriteFile(spec.source_archive, "this is no archive").has_value());
  InstanceStatus status = machine_->Run(spec);
  EXPECT_THAT(status.failure_reason, HasSubstr("source archive cannot be unpacked"));
  EXPECT_EQ(status.training_started_ms, 0);
}

TEST_F(ToolkitTest, RequirementsThatCannotBeInstalledFailTheJob) {
  // A stand-in for pip: what matters here is what the agent makes of it. The environment is written to, and unchanged.
  std::filesystem::path venv = machine_->directory() / "private" / "venv";
  ASSERT_TRUE(io::MakeDirectories(venv / "bin").has_value());
  ::chmod(venv.parent_path().c_str(), 0700);
  ASSERT_TRUE(io::WriteFile(venv / "bin/python",
                            "#!/bin/sh\n"
                            "if [ \"$2\" = pip ]; then echo \"$@\"; touch " +
                                (venv / "installed").native() +
                                "; if grep -q nosuch requirements.txt; then "
                                "echo 'ERROR: No matching distribution found for nosuch'; exit 1; fi; exit 0; fi\n"
                                "ls " +
                                venv.native() + "; exec python3 \"$@\"\n",
                            0755)
                  .has_value());
  ::chmod((venv / "bin/python").c_str(), 0755);
  InstanceSpec spec = Script("pip.1.0", {{"train.py", "print('trained')"}, {"requirements.txt", "nosuch"}});
  spec.environment.venv = venv;
  InstanceStatus status = machine_->Run(spec);
  EXPECT_THAT(status.failure_reason, HasSubstr("ERROR: No matching distribution found for nosuch"))
      << machine_->Log(spec.id);
  EXPECT_THAT(status.failure_reason, HasSubstr("requirements.txt"));
  EXPECT_EQ(status.training_started_ms, 0);
  spec = Script("pip.2.0", {{"train.py", "print('trained')"}, {"requirements.txt", "fine"}});
  spec.environment.venv = venv;
  status = machine_->Run(spec);
  EXPECT_TRUE(status.succeeded) << status.failure_reason << machine_->Log(spec.id);
  EXPECT_EQ(machine_->Log(spec.id), "-m pip install --no-input -r requirements.txt\nbin\ninstalled\ntrained\n");
  EXPECT_FALSE(std::filesystem::exists(venv / "installed"));
}

TEST_F(ToolkitTest, AnUncompressedModelIsADirectory) {
  InstanceSpec spec = machine_->Shell("none.2.0", "mkdir /opt/ml/model/1; echo w > /opt/ml/model/1/weights");
  spec.compress_model = false;
  InstanceStatus status = machine_->Run(spec);
  EXPECT_TRUE(status.succeeded) << status.failure_reason;
  EXPECT_EQ(*io::ReadFile(status.model_archive / "1/weights"), "w\n");
}

TEST_F(ToolkitTest, AStopDuringPreparationEndsWithoutTraining) {
  InstanceSpec spec = Script("early.1.0", {{"train.py", "print('trained')"}, {"requirements.txt", "x"}});
  std::filesystem::path venv = machine_->directory() / "venv";
  ASSERT_TRUE(io::MakeDirectories(venv / "bin").has_value());
  ASSERT_TRUE(io::WriteFile(venv / "bin/python", "#!/bin/sh\necho installing; sleep 1000\n").has_value());
  ::chmod((venv / "bin/python").c_str(), 0755);
  spec.environment.venv = venv;
  ASSERT_TRUE(machine_->driver().Start(spec).has_value());
  ASSERT_TRUE(machine_->AwaitLog(spec.id, "installing"));
  ASSERT_TRUE(machine_->driver().Stop(spec.id, {spec.epoch, "StopTrainingJob"}).has_value());
  InstanceStatus status = machine_->Await(spec.id);
  EXPECT_TRUE(status.stopped);
  EXPECT_FALSE(status.succeeded);
  EXPECT_EQ(status.training_started_ms, 0);
  EXPECT_TRUE(status.model_archive.empty());
}

TEST_F(ToolkitTest, ChildrenLeftBehindEndWithTheProgram) {
  InstanceSpec spec =
      machine_->Shell("left.1.0", "(setsid sh -c 'while :; do echo noise; sleep 0.01; done' &); exit 0");
  EXPECT_TRUE(machine_->Run(spec).succeeded);
}

TEST_F(ToolkitTest, AFloodIsCompleteAndInOrder) {
  InstanceSpec spec = machine_->Shell("flood.1.0", "");
  spec.entrypoint = {"python3", "-c", "for i in range(200000): print(i)"};
  EXPECT_TRUE(machine_->Run(spec).succeeded);
  std::vector<driver::LogRecord> records = machine_->Records(spec.id);
  std::erase_if(records, [](const auto& record) { return record.line.starts_with("sagebrush:"); });
  ASSERT_EQ(records.size(), 200'000u);
  for (size_t i = 0; i < records.size(); ++i) ASSERT_EQ(records[i].line, std::to_string(i));
}

TEST_F(ToolkitTest, AStartCutShortIsTakenUpAgain) {
  InstanceSpec spec = machine_->Shell("cut.1.0", "echo once");
  // As a crash between the spec and the agent leaves it.
  ASSERT_TRUE(io::MakeDirectories(machine_->Files(spec.id).directory).has_value());
  ASSERT_TRUE(io::WriteFile(machine_->Files(spec.id).spec(), driver::SpecToJson(spec)).has_value());
  EXPECT_EQ(machine_->driver().Inspect(spec.id).error().kind, ErrorKind::kNotFound);
  EXPECT_TRUE(machine_->driver().List()->empty());
  EXPECT_TRUE(machine_->Run(spec).succeeded);
  EXPECT_EQ(machine_->Log(spec.id), "once\n");
}

// A Unix socket that answers each connection with what it got, after the peer's half-close or the first blank line.
class EchoEngine {
 public:
  explicit EchoEngine(const std::filesystem::path& path) : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(fd_.get(), 16), 0);
    thread_ = std::thread([this] { Serve(); });
  }
  ~EchoEngine() {
    ::shutdown(fd_.get(), SHUT_RDWR);
    thread_.join();
  }
  int served() const { return served_; }

 private:
  void Serve() {
    while (true) {
      io::UniqueFd peer(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!peer) return;
      ++served_;
      std::string got;
      char bytes[4096];
      ssize_t size;
      while (!got.ends_with("\r\n\r\n") && (size = ::read(peer.get(), bytes, sizeof bytes)) > 0) {
        got.append(bytes, static_cast<size_t>(size));
      }
      std::string answer = "echo " + got;
      [[maybe_unused]] ssize_t sent = ::send(peer.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
    }
  }
  io::UniqueFd fd_;
  std::thread thread_;
  std::atomic<int> served_{0};
};

constexpr char kAsk[] =
    "import socket,sys\n"
    "for ask in sys.argv[1:]:\n"
    "  s=socket.create_connection(('127.83.66.1',9000)); s.sendall(ask.encode().decode('unicode_escape').encode())\n"
    "  s.shutdown(socket.SHUT_WR); out=b''\n"
    "  while True:\n"
    "    b=s.recv(65536)\n"
    "    if not b: break\n"
    "    out+=b\n"
    "  print(out.decode().replace('\\r\\n','|'))\n";

TEST_F(ToolkitTest, TheEngineIsReachableInside) {
  EchoEngine engine(machine_->directory() / "engine.sock");
  InstanceSpec spec = machine_->Shell("proxy.1.0", "");
  spec.engine_socket = machine_->directory() / "engine.sock";
  spec.entrypoint = {"python3", "-c", kAsk, "anything at all", "CONNECT else:443 HTTP/1.1\\r\\n\\r\\n"};
  EXPECT_TRUE(machine_->Run(spec).succeeded) << machine_->Log(spec.id);
  EXPECT_EQ(machine_->Log(spec.id), "echo anything at all\necho CONNECT else:443 HTTP/1.1||\n");
  EXPECT_EQ(engine.served(), 2);
}

TEST_F(ToolkitTest, AnIsolatedJobReachesTheEngineAndNothingBehindIt) {
  EchoEngine engine(machine_->directory() / "engine.sock");
  InstanceSpec spec = machine_->Shell("isolated.1.0", "");
  spec.engine_socket = machine_->directory() / "engine.sock";
  spec.network_isolation = true;
  spec.entrypoint = {"python3",
                     "-c",
                     kAsk,
                     "GET /bucket/key HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n",
                     "CONNECT else:443 HTTP/1.1\\r\\n\\r\\n",
                     "GET http://example.com/ HTTP/1.1\\r\\n\\r\\n",
                     "\\x16\\x03"};
  EXPECT_TRUE(machine_->Run(spec).succeeded) << machine_->Log(spec.id);
  std::string log = machine_->Log(spec.id);
  EXPECT_TRUE(log.starts_with("echo GET /bucket/key HTTP/1.1|Connection: close|Host: x||\nHTTP/1.1 403 ")) << log;
  // A handshake is the engine's own, which tunnels nothing under TLS.
  size_t second = log.find("echo", 4);
  ASSERT_NE(second, std::string::npos) << log;
  EXPECT_EQ(log.substr(second), "echo \x16\x03\n");
}

TEST_F(ToolkitTest, StartIsQuick) {
  std::vector<int64_t> first_line_ms, line_to_reader_ms;
  for (int i = 0; i < 10; ++i) {
    InstanceSpec spec = machine_->Shell("quick.1." + std::to_string(i), "date +%s%3N; sleep 0.05");
    spec.limits.vcpus = 64;  // no cpu limit: no note in the log
    int64_t before = WallClockMs();
    ASSERT_TRUE(machine_->driver().Start(spec).has_value());
    ASSERT_TRUE(SandboxMachine::Eventually([&] { return !machine_->Log(spec.id).empty(); }));
    int64_t read = WallClockMs(), printed = std::stoll(machine_->Log(spec.id));
    first_line_ms.push_back(printed - before);
    line_to_reader_ms.push_back(read - printed);
    EXPECT_EQ(machine_->Await(spec.id).phase, Phase::kEnded);
  }
  std::sort(first_line_ms.begin(), first_line_ms.end());
  std::sort(line_to_reader_ms.begin(), line_to_reader_ms.end());
  std::printf("Start to the program's first line: p50 %ld ms, max %ld ms; line to reader: p50 %ld ms, max %ld ms\n",
              first_line_ms[5], first_line_ms[9], line_to_reader_ms[5], line_to_reader_ms[9]);
  EXPECT_LT(first_line_ms[5], 1000) << "even on a busy machine";
}

}  // namespace
}  // namespace sagebrush::agent
