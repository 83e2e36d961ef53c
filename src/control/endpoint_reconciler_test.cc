#include "control/endpoint_reconciler.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "control/test_waiting.h"
#include "driver/fake/fake_driver.h"

namespace sagebrush::control {
namespace {

using domain::EndpointStatus;
using testing::HasSubstr;

// Answers every request with 200, in place of the program inside an instance.
class PingServer {
 public:
  PingServer() {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_, 16), 0);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::jthread([this] { Serve(); });
  }
  ~PingServer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  uint16_t port() const { return port_; }

 private:
  void Serve() const {
    while (true) {
      io::UniqueFd peer(::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC));
      if (!peer) return;
      char request[4096];
      std::string_view answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
      if (::recv(peer.get(), request, sizeof request, 0) > 0) {
        ::send(peer.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
      }
    }
  }

  int listener_;
  uint16_t port_ = 0;
  std::jthread thread_;
};

// A directory and a machine that outlive engines, and what one engine at a time has for endpoints.
class EndpointReconcilerTest : public testing::Test {
 protected:
  EndpointReconcilerTest() {
    char pattern[] = "/tmp/sagebrush-endpoints-XXXXXX";
    directory_ = ::mkdtemp(pattern);
    std::filesystem::create_directories(directory_ / "machine");
    machine_ = std::make_shared<driver::FakeMachine>(directory_ / "machine");
    machine_->SetScript({.automatic = true, .serves_at = server_.port()});
    std::string uv = "#!/bin/sh\nfor last; do :; done\ncase \"$*\" in *venv*--seed*) mkdir -p \"$last/bin\";; esac\n";
    EXPECT_TRUE(io::WriteFile(directory_ / "uv", uv, 0755));
    std::filesystem::permissions(directory_ / "uv", std::filesystem::perms::owner_all);
    database_ = *Database::Open(directory_ / "control.db");
    endpoints_.emplace(*database_);
    objects_ = *objstore::ObjectStore::Open(directory_ / "objects", {::geteuid(), ::getegid()}, clock_);
    logs_ = *logstore::LogStore::Open(directory_ / "logs", clock_);
    keys_ = *KeyRing::Open(directory_ / "credentials.json");
  }
  ~EndpointReconcilerTest() override {
    Close();
    endpoints_.reset();
    database_.reset();
    objects_.reset();
    logs_.reset();
    std::filesystem::remove_all(directory_);
  }

  void Open() {
    driver_ = std::make_unique<driver::FakeDriver>(machine_);
    images_ =
        std::make_unique<EnvironmentCache>(*ImageCatalog::Load({}), EnvironmentCache::Options{
                                                                        .directory = directory_ / "images",
                                                                        .uv = (directory_ / "uv").string(),
                                                                        .on_change = [this] { reconciler_->WakeAll(); },
                                                                    });
    pump_ = std::make_unique<LogPump>(*driver_, *logs_);
    router_ = std::make_unique<routing::Router>();
    runtime_ = std::make_unique<io::Runtime>(1, 1);
    invoker_ = std::make_unique<routing::Invoker>(*runtime_, *router_, *driver_, routing::Invoker::Options{});
    EndpointReconciler::Options options{.region = "us-west-2", .epoch = database_->epoch()};
    options.arn_of = [](const std::string& name) { return "arn:" + name; };
    reconciler_ = std::make_unique<EndpointReconciler>(*endpoints_, *images_, *objects_, *driver_, *pump_, *keys_,
                                                       *router_, *invoker_, clock_, options);
    ASSERT_TRUE(reconciler_->Start());
  }
  void Close() {
    if (reconciler_ == nullptr) return;
    reconciler_->Stop();
    images_.reset();
    reconciler_.reset();
    invoker_.reset();
    runtime_.reset();
    router_.reset();
    pump_.reset();
    driver_.reset();
  }

  void Create() {
    domain::EndpointVariant variant{.name = "v", .image = "sagebrush/python:latest", .instance_type = "ml.c5.large"};
    variant.start_limit_ms = 60'000;
    domain::Fleet fleet{.generation = 0, .config_name = "c", .variants = {variant}};
    ASSERT_TRUE(endpoints_->Insert(name_, domain::NewEndpointState(fleet, clock_.NowMs()), "arn:e", {}, ""));
    if (reconciler_ != nullptr) reconciler_->Wake(name_);
  }
  void Delete() {
    ASSERT_TRUE(endpoints_->Update(name_, [this](domain::EndpointState& state) -> Result<void> {
      BeginDelete(state, clock_.NowMs());
      return {};
    }));
    if (reconciler_ != nullptr) reconciler_->Wake(name_);
  }
  bool AwaitStatus(EndpointStatus status) {
    return Eventually([&] { return endpoints_->Get(name_)->status == status; });
  }
  bool AwaitGone() {
    return Eventually([&] { return !endpoints_->Get(name_); });
  }

  const EndpointName name_{"e"};
  const InstanceId first_ = EndpointInstanceId(name_, 1);
  PingServer server_;
  std::filesystem::path directory_;
  ManualClock clock_{1'000'000};  // as the fake machine has it
  std::shared_ptr<driver::FakeMachine> machine_;
  std::unique_ptr<Database> database_;
  std::optional<EndpointTable> endpoints_;
  std::unique_ptr<objstore::ObjectStore> objects_;
  std::unique_ptr<logstore::LogStore> logs_;
  std::optional<KeyRing> keys_;
  std::unique_ptr<driver::FakeDriver> driver_;
  std::unique_ptr<EnvironmentCache> images_;
  std::unique_ptr<LogPump> pump_;
  std::unique_ptr<routing::Router> router_;
  std::unique_ptr<io::Runtime> runtime_;
  std::unique_ptr<routing::Invoker> invoker_;
  std::unique_ptr<EndpointReconciler> reconciler_;
};

TEST_F(EndpointReconcilerTest, AnswersAsSoonAsItIsInServiceAndIsKnownToTheNextEngineFromTheBeginning) {
  Open();
  Create();
  ASSERT_TRUE(AwaitStatus(EndpointStatus::kInService));
  EXPECT_TRUE(router_->Choose("e"));
  Close();
  Open();
  Result<routing::Router::Choice> choice = router_->Choose("e");
  EXPECT_TRUE(choice || choice.error().kind == ErrorKind::kUnavailable) << "clients try again only then";
  EXPECT_TRUE(Eventually([&] { return router_->Choose("e").has_value(); }));
  EXPECT_EQ(machine_->created(first_), 1);
  Delete();
  EXPECT_TRUE(AwaitGone());
  EXPECT_TRUE(machine_->running().empty());
}

TEST_F(EndpointReconcilerTest, AnAgentThatDiesAtOnceIsStartedAgainButNotForEver) {
  machine_->LoseStarts(2);
  Open();
  Create();
  EXPECT_TRUE(AwaitStatus(EndpointStatus::kInService));
  EXPECT_EQ(machine_->start_calls(first_), 3);
  Delete();
  ASSERT_TRUE(AwaitGone());
  machine_->LoseStarts(1000);
  Create();
  ASSERT_TRUE(AwaitStatus(EndpointStatus::kFailed));
  EXPECT_THAT(endpoints_->Get(name_)->failure_reason, HasSubstr("died 5 times before it could begin"));
  Delete();
  EXPECT_TRUE(AwaitGone());
}

TEST_F(EndpointReconcilerTest, FilesOfAStartThatWasCutShortGoWithTheEndpoint) {
  Create();
  ASSERT_TRUE(endpoints_->Update(name_, [this](domain::EndpointState& state) -> Result<void> {
    state = domain::Follow(state, {}, clock_.NowMs());  // the engine before has decided to start an instance,
    return {};
  }));
  std::filesystem::path left = directory_ / "machine" / first_.value();
  std::filesystem::create_directories(left / "staged");  // and died when it had staged the model
  Delete();
  Open();
  EXPECT_TRUE(AwaitGone());
  EXPECT_FALSE(std::filesystem::exists(left));
}

TEST_F(EndpointReconcilerTest, WhatIsStillUnpackingIsDestroyedWithoutItsEndBeingAwaited) {
  machine_->SetScript({.ends_on_stop = false});
  Open();
  Create();
  ASSERT_TRUE(Eventually([&] { return machine_->created(first_) == 1; }));
  machine_->AdvanceTo(first_, driver::Phase::kDownloading);
  Delete();
  EXPECT_TRUE(AwaitGone());
  EXPECT_TRUE(machine_->running().empty());
}

TEST_F(EndpointReconcilerTest, AMachineOutOfReachIsNoReasonToStartAnInstanceAgain) {
  Open();
  Create();
  ASSERT_TRUE(AwaitStatus(EndpointStatus::kInService));
  int64_t looks = machine_->inspections();
  machine_->FailEverything(Error(ErrorKind::kUnavailable, "the machine is out of reach"));
  ASSERT_TRUE(Eventually([&] { return machine_->inspections() >= looks + 2; }));
  machine_->FailEverything(std::nullopt);
  reconciler_->Wake(name_);
  EXPECT_TRUE(Eventually([&] { return router_->Choose("e").has_value(); }));
  EXPECT_EQ(endpoints_->Get(name_)->next_serial, 2);
  EXPECT_EQ(machine_->start_calls(first_), 1);
}

}  // namespace
}  // namespace sagebrush::control
