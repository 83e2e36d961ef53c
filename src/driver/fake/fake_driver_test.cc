#include "driver/fake/fake_driver.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <sys/socket.h>

#include <cstdlib>
#include <thread>

#include "driver/conformance.h"
#include "io/file.h"

namespace sagebrush::driver {
namespace {

// Sends back what comes, on a port of its own: what stands for the program of a fake service.
class Echo {
 public:
  Echo() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
    EXPECT_EQ(::listen(listener_.get(), 128), 0);
    EXPECT_EQ(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
    port_ = ntohs(address.sin_port);
    serving_ = std::thread([this] { Serve(); });
  }
  ~Echo() {
    ::shutdown(listener_.get(), SHUT_RDWR);  // ends accept
    serving_.join();
  }
  uint16_t port() const { return port_; }

 private:
  void Serve() {
    while (true) {
      io::UniqueFd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!connection) return;
      char bytes[256];
      ssize_t got;
      while ((got = ::recv(connection.get(), bytes, sizeof bytes, 0)) > 0) {
        EXPECT_TRUE(io::WriteAll(connection.get(), {bytes, static_cast<size_t>(got)}).has_value());
      }
    }
  }

  io::UniqueFd listener_;
  uint16_t port_ = 0;
  std::thread serving_;
};

class FakeHarness {
 public:
  static std::string Unavailable() { return ""; }
  FakeHarness() {
    char name[] = "/tmp/sagebrush-fake-XXXXXX";
    directory_ = ::mkdtemp(name);
    machine_ = std::make_shared<FakeMachine>(directory_);
    machine_->SetScripts([this](const InstanceSpec& spec) { return scripts_[spec.id]; });
    driver_ = std::make_unique<FakeDriver>(machine_);
  }
  ~FakeHarness() { std::filesystem::remove_all(directory_); }

  Driver& driver() { return *driver_; }
  void Reopen() { driver_ = std::make_unique<FakeDriver>(machine_); }
  InstanceSpec Spec(const std::string& id, Program program) {
    InstanceSpec spec;
    spec.id = InstanceId(id);
    spec.job = JobName(id.substr(0, id.find('.')));
    spec.epoch = Epoch{1};
    FakeScript& script = scripts_[spec.id] = FakeScript();
    programs_[spec.id] = program;
    if (program == Program::kPrints) {
      for (int i = 0; i < 100; ++i) script.lines.push_back("line " + std::to_string(i));
    } else if (program != Program::kFails) {
      script.lines = {"ready"};
    }
    if (program == Program::kFails) script.exit_code = 3;
    script.ends_on_stop = program != Program::kIgnoresStop;
    return spec;
  }
  void LetServe(const InstanceId& id) { machine_->ServeAt(id, echo_.port()); }
  void LoseAgent(const InstanceId& id) { machine_->Lose(id); }
  void Keep(const InstanceId& id) {
    std::filesystem::path state = machine_->spec(id)->checkpoints.directory / "state";
    ASSERT_TRUE(io::WriteFile(state, *io::ReadFile(state) + "kept").has_value());
  }
  int Created(const InstanceId& id) { return machine_->created(id); }
  void LetRun(const InstanceId& id) {
    bool waits = programs_[id] != Program::kPrints && programs_[id] != Program::kFails;
    bool stopped = machine_->stop_calls(id) > 0;
    if (programs_[id] == Program::kIgnoresStop && stopped) return machine_->Kill(id);
    machine_->AdvanceTo(id, waits && !stopped ? Phase::kTraining : Phase::kEnded);
  }

 private:
  Echo echo_;
  std::filesystem::path directory_;
  std::map<InstanceId, FakeScript> scripts_;
  std::map<InstanceId, Program> programs_;
  std::shared_ptr<FakeMachine> machine_;
  std::unique_ptr<FakeDriver> driver_;
};

INSTANTIATE_TYPED_TEST_SUITE_P(Fake, DriverConformance, FakeHarness);

TEST(FakeDriverTest, IsStricterThanARealMachine) {
  auto machine = std::make_shared<FakeMachine>("/nonexistent");
  FakeDriver driver(machine);
  InstanceSpec spec;
  spec.id = InstanceId("a.1.0");
  spec.job = JobName("a");
  spec.channels = {{"train", "/nonexistent/links"}};
  EXPECT_FALSE(driver.Start(spec).has_value()) << "an unstaged channel";
  EXPECT_EQ(machine->created(spec.id), 0);
  spec.channels.clear();
  ASSERT_TRUE(driver.Start(spec).has_value());
  spec.hyperparameters["x"] = "1";
  EXPECT_FALSE(driver.Start(spec).has_value()) << "another spec under the same id";
  EXPECT_FALSE(driver.ReadLog(spec.id, 3, 100).has_value()) << "an offset from nowhere";
}

TEST(FakeDriverTest, FailsAsToldBeforeOrAfterTheEffect) {
  auto machine = std::make_shared<FakeMachine>("/nonexistent");
  FakeDriver driver(machine);
  InstanceSpec spec;
  spec.id = InstanceId("a.1.0");
  spec.job = JobName("a");
  machine->FailStarts(Error(ErrorKind::kUnavailable, "not now"), 1);
  EXPECT_FALSE(driver.Start(spec).has_value());
  EXPECT_EQ(machine->created(spec.id), 0);
  machine->FailStarts(Error(ErrorKind::kUnavailable, "too late"), 1, true);
  EXPECT_FALSE(driver.Start(spec).has_value());
  EXPECT_EQ(machine->created(spec.id), 1);
  EXPECT_TRUE(driver.Start(spec).has_value());
  EXPECT_EQ(machine->created(spec.id), 1);
  EXPECT_EQ(machine->start_calls(spec.id), 3);
}

TEST(FakeDriverTest, AnAutomaticServiceRunsUntilItsStop) {
  auto machine = std::make_shared<FakeMachine>("/nonexistent");
  machine->SetScript({.automatic = true});
  FakeDriver driver(machine);
  InstanceSpec spec;
  spec.id = InstanceId("a.1.0");
  spec.job = JobName("a");
  spec.service = Service{.command = {"serve"}};
  ASSERT_TRUE(driver.Start(spec).has_value());
  EXPECT_EQ(driver.Inspect(spec.id)->phase, Phase::kTraining);
  ASSERT_TRUE(driver.Stop(spec.id, {spec.epoch, "DeleteEndpoint"}).has_value());
  EXPECT_EQ(driver.Inspect(spec.id)->phase, Phase::kEnded);
  EXPECT_TRUE(driver.Inspect(spec.id)->succeeded);
}

}  // namespace
}  // namespace sagebrush::driver
