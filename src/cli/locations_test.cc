#include "cli/locations.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "cli/testing.h"
#include "control/credentials.h"

namespace sagebrush::cli {
namespace {

using ::testing::AllOf;
using testing::FixedEnvironment;
using ::testing::HasSubstr;
using testing::TemporaryDirectory;

// A listening socket on a free loopback port; the kernel accepts for it.
class Listener {
 public:
  Listener() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    CHECK(bind(fd_.get(), generic, length) == 0);
    CHECK(listen(fd_.get(), 8) == 0);
    CHECK(getsockname(fd_.get(), generic, &length) == 0);
    port_ = std::to_string(ntohs(address.sin_port));
  }
  const std::string& port() const { return port_; }

 private:
  io::UniqueFd fd_;
  std::string port_;
};

TEST(ResolveDataDirectory, FollowsItsOrder) {
  auto all = FixedEnvironment({{"SAGEBRUSH_HOME", "/home/sb"}, {"XDG_DATA_HOME", "/xdg"}, {"HOME", "/home/me"}});
  EXPECT_EQ(ResolveDataDirectory("/flag/", all, true).value(), "/flag");
  EXPECT_EQ(ResolveDataDirectory("", all, true).value(), "/home/sb");
  auto no_home = FixedEnvironment({{"XDG_DATA_HOME", "/xdg"}, {"HOME", "/home/me"}});
  EXPECT_EQ(ResolveDataDirectory("", no_home, true).value(), "/var/lib/sagebrush");
  EXPECT_EQ(ResolveDataDirectory("", no_home, false).value(), "/xdg/sagebrush");
  EXPECT_EQ(ResolveDataDirectory("", FixedEnvironment({{"HOME", "/home/me"}}), false).value(),
            "/home/me/.local/share/sagebrush");
  EXPECT_FALSE(ResolveDataDirectory("", FixedEnvironment({}), false));
  EXPECT_TRUE(ResolveDataDirectory("relative", all, false).value().is_absolute());
}

TEST(HostAndPort, SplitsUrlsAndAddresses) {
  EXPECT_EQ(HostAndPort("http://127.0.0.1:8770"), std::pair(std::string("127.0.0.1"), std::string("8770")));
  EXPECT_EQ(HostAndPort("http://[::1]:80/x"), std::pair(std::string("::1"), std::string("80")));
  EXPECT_EQ(HostAndPort("host"), std::pair(std::string("host"), std::string()));
}

TEST(FindEngine, WithoutARecordSaysHowToStart) {
  TemporaryDirectory home;
  auto engine = FindEngine(home.path());
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().kind, ErrorKind::kUnavailable);
  EXPECT_THAT(engine.error().message, AllOf(HasSubstr(home.path().string()), HasSubstr("`sagebrush serve`")));
}

TEST(FindEngine, ARecordThatNobodyAnswersForIsStale) {
  TemporaryDirectory home;
  std::string port = Listener().port();  // closed again
  home.Write("engine.json", R"({"endpoint":"http://127.0.0.1:)" + port + R"(","pid":77})");
  auto engine = FindEngine(home.path());
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().kind, ErrorKind::kUnavailable);
  EXPECT_THAT(engine.error().message, AllOf(HasSubstr("nobody answers there"), HasSubstr("process 77")));
}

TEST(FindEngine, DamagedRecordsAreNamed) {
  for (const char* text : {"", "{", "[]", "{}", R"({"endpoint":5})"}) {
    TemporaryDirectory home;
    home.Write("engine.json", text);
    auto engine = FindEngine(home.path());
    ASSERT_FALSE(engine) << text;
    EXPECT_EQ(engine.error().kind, ErrorKind::kDataLoss);
  }
}

TEST(FindTarget, ReadsTheOwnersKeysAndTheEnginesRegion) {
  TemporaryDirectory home;
  Listener listener;
  std::string endpoint = "http://127.0.0.1:" + listener.port();
  home.Write("engine.json", R"({"endpoint":")" + endpoint + R"(","pid":1})");
  EXPECT_EQ(FindTarget(home.path(), "us-west-2").error().kind, ErrorKind::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(home.path() / "credentials.json")) << "only an engine makes keys";

  auto keys = control::KeyRing::Open(home.path() / "credentials.json");
  ASSERT_TRUE(keys);
  auto target = FindTarget(home.path(), "us-west-2");
  ASSERT_TRUE(target) << target.error().message;
  EXPECT_EQ(target->endpoint, endpoint);
  EXPECT_EQ(target->region, "us-west-2");
  EXPECT_EQ(target->credentials.access_key, keys->owner().access_key);

  home.Write("engine.json", R"({"endpoint":")" + endpoint + R"(","region":"eu-west-1"})");
  EXPECT_EQ(FindTarget(home.path(), "us-west-2")->region, "eu-west-1");
}

}  // namespace
}  // namespace sagebrush::cli
