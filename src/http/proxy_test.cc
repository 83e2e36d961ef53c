// TLS, CONNECT and forwarding, with real TLS clients and real peers.
#include <thread>

#include "base/random.h"
#include "http/test_support.h"

namespace sagebrush::http::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// A listener whose single connection is handled by a function on a thread.
class Peer {
 public:
  explicit Peer(std::function<void(Wire)> serve) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    ::bind(listener_, reinterpret_cast<sockaddr*>(&address), size);
    ::listen(listener_, 5);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::jthread([this, serve = std::move(serve)] {
      int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd >= 0) serve(Wire(fd));
    });
  }
  ~Peer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  std::string authority() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  int listener_;
  uint16_t port_ = 0;
  std::jthread thread_;
};

class ProxyTest : public ::testing::Test {
 protected:
  ProxyTest() {
    auto opened = CertificateAuthority::Open(dir_.path(), "testhost");
    EXPECT_TRUE(opened) << opened.error().message;
    authority_ = *std::move(opened);
  }
  ServerOptions Options() const { return {.authority = authority_.get()}; }
  std::filesystem::path ca() const { return authority_->certificate_file(); }

  TempDir dir_;
  std::unique_ptr<CertificateAuthority> authority_;
};

TEST_F(ProxyTest, OnePortSpeaksPlainAndTls) {
  TestServer server(Options());
  for (std::string host : {"localhost", "127.0.0.1", "engine.example"}) {
    Wire tls = server.Connect();
    ASSERT_EQ(tls.StartTls(ca(), host), "ok") << host;
    for (int i = 0; i < 2; ++i) {
      tls.Send(Get("/describe"));
      EXPECT_THAT(tls.Read().body, HasSubstr("tls=1"));
    }
  }
  Wire plain = server.Connect();
  plain.Send(Get("/describe"));
  EXPECT_THAT(plain.Read().body, HasSubstr("tls=0"));
}

TEST_F(ProxyTest, TlsCarriesLargeBodiesBothWaysAndFileRanges) {
  TestServer server(Options());
  server.file = dir_.path() / "file";
  std::string content = RandomBytes(3'000'000);
  ASSERT_TRUE(io::WriteFile(server.file, content));
  Wire tls = server.Connect();
  ASSERT_EQ(tls.StartTls(ca(), "localhost"), "ok");
  tls.Send("PUT /echo HTTP/1.1\r\nHost: e\r\nContent-Length: 3000000\r\n\r\n" + content);
  EXPECT_EQ(tls.Read().body == content, true);
  tls.Send(Get("/file?offset=17&length=2500000"));
  EXPECT_EQ(tls.Read().body == content.substr(17, 2'500'000), true);
  tls.Send(Get("/x"));
  EXPECT_EQ(tls.Read().body, "/x");
}

TEST_F(ProxyTest, AClientThatDoesNotTrustUsGetsNoFurtherThanTheHandshake) {
  TempDir other_dir;
  auto other = CertificateAuthority::Open(other_dir.path(), "other");
  ASSERT_TRUE(other);
  TestServer server(Options());
  Wire tls = server.Connect();
  EXPECT_THAT(tls.StartTls((*other)->certificate_file(), "localhost"), StartsWith("handshake failed"));
  EXPECT_EQ(server.handled(), 0);
}

TEST_F(ProxyTest, GarbageAfterATlsByteEndsTheConnection) {
  TestServer server(Options());
  Wire wire = server.Connect();
  wire.Send("\x16\x03\x01" + RandomBytes(300));
  wire.ReadToEnd();
  EXPECT_EQ(server.handled(), 0);
}

TEST_F(ProxyTest, InterceptsAwsHostsForConnectOfBothVersions) {
  TestServer server(Options());
  for (std::string version : {"1.0", "1.1"}) {
    for (std::string host : {"sts.us-west-2.amazonaws.com", "sm-pysdk-t-us-west-2.s3.us-west-2.amazonaws.com"}) {
      Wire wire = server.Connect();
      wire.Send("CONNECT " + host + ":443 HTTP/" + version + "\r\n" +
                (version == "1.1" ? "Host: " + host + ":443\r\n" : "") + "\r\n");
      std::string established = "HTTP/1.1 200 Connection established\r\n\r\n";
      ASSERT_EQ(wire.ReadBytes(established.size()), established);
      ASSERT_EQ(wire.StartTls(ca(), host), "ok");
      for (int i = 0; i < 2; ++i) {
        wire.Send("GET /describe?x HTTP/1.1\r\nHost: " + host + "\r\n\r\n");
        Reply reply = wire.Read();
        EXPECT_EQ(reply.status, 200);
        EXPECT_THAT(reply.body, HasSubstr("host=" + host + "\ntls=1"));
      }
    }
  }
}

TEST_F(ProxyTest, TunnelsOtherHostsUntouchedUntilBothSidesEnd) {
  std::string big = RandomBytes(2'000'000);
  Peer peer([&](Wire wire) {
    EXPECT_EQ(wire.ReadBytes(big.size()) == big, true);
    EXPECT_TRUE(wire.AtEnd()) << "the client's half-close comes through";
    wire.Send(big);
    wire.Send("goodbye");
  });
  TestServer server(Options());
  Wire wire = server.Connect();
  // The first bytes come with the request: they belong to the tunnel.
  wire.Send("CONNECT " + peer.authority() + " HTTP/1.1\r\nHost: x\r\n\r\n" + big.substr(0, 1000));
  EXPECT_EQ(wire.Read(true).status, 200);
  wire.Send(big.substr(1000));
  wire.HalfClose();
  EXPECT_EQ(wire.ReadToEnd() == big + "goodbye", true);
  EXPECT_EQ(server.handled(), 0);
}

TEST_F(ProxyTest, AHostOutOfReachIsA502WithTheReason) {
  TestServer server(Options());
  uint16_t closed_port;
  {
    TestServer gone;
    closed_port = gone.port();
  }
  std::string authority = "127.0.0.1:" + std::to_string(closed_port);
  Wire connect = server.Connect();
  connect.Send("CONNECT " + authority + " HTTP/1.1\r\nHost: x\r\n\r\n");
  Reply reply = connect.Read();
  EXPECT_EQ(reply.status, 502);
  EXPECT_THAT(reply.body, HasSubstr("Connection refused"));
  Wire forward = server.Connect();
  forward.Send("GET http://" + authority + "/ HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(forward.Read().status, 502);
  Wire unknown = server.Connect();
  // A label of 64 characters cannot exist, so no name server is asked.
  unknown.Send("CONNECT " + std::string(64, 'a') + ".invalid:443 HTTP/1.1\r\nHost: x\r\n\r\n");
  reply = unknown.Read();
  EXPECT_EQ(reply.status, 502);
  EXPECT_THAT(reply.body, HasSubstr("could not be looked up"));
}

TEST_F(ProxyTest, ThePolicyCanRefuse) {
  ServerOptions options = Options();
  options.policy = [](const ProxyTarget& target) {
    return ProxyDecision{ProxyDecision::Action::kRefuse, "not " + target.host, false};
  };
  TestServer server(options);
  for (std::string request :
       {"CONNECT h.example:1 HTTP/1.1\r\nHost: x\r\n\r\n", "GET http://h.example/ HTTP/1.1\r\nHost: x\r\n\r\n"}) {
    Wire wire = server.Connect();
    wire.Send(request);
    Reply reply = wire.Read();
    EXPECT_EQ(reply.status, 403);
    EXPECT_THAT(reply.body, HasSubstr("not h.example"));
  }
}

TEST_F(ProxyTest, InstancesDoNotReachThisMachinesOwnServices) {
  Peer peer([](Wire) { ADD_FAILURE() << "was reached"; });
  ServerOptions options = Options();
  options.unix_socket = dir_.path() / "engine.sock";
  std::filesystem::path socket = options.unix_socket;
  TestServer server(options);
  std::string port = peer.authority().substr(peer.authority().find(':'));
  for (std::string host : {"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"}) {
    Wire wire = Wire::ToUnix(socket);
    wire.Send("CONNECT " + host + port + " HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_EQ(wire.Read().status, 403) << host;
  }
}

TEST_F(ProxyTest, ForwardsPlainRequestsAndDropsHopFields) {
  std::string seen;
  Peer peer([&](Wire wire) {
    wire.Fill();
    seen = wire.ReadBytes(1);
    while (!seen.ends_with("0\r\n\r\n")) {
      std::string more = wire.ReadBytes(1);
      if (more.empty()) break;
      seen += more;
    }
    wire.Send(
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 201 Made\r\nX-One: 1\r\nConnection: X-Two\r\nX-Two: "
        "2\r\n\r\nuntil the end");
  });
  TestServer server(Options());
  Wire wire = server.Connect();
  wire.Send("POST http://" + peer.authority() +
            "/p%20q?a=b HTTP/1.1\r\nHost: ignored\r\nProxy-Connection: keep-alive\r\nConnection: X-Hop\r\nX-Hop: "
            "1\r\nX-Keep: "
            "2\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
  Reply reply = wire.Read();
  EXPECT_EQ(reply.status, 201);
  EXPECT_EQ(reply.body, "until the end");
  EXPECT_EQ(reply.headers.Get("X-One"), "1");
  EXPECT_FALSE(reply.headers.Has("X-Two"));
  EXPECT_EQ(seen, "POST /p%20q?a=b HTTP/1.1\r\nHost: " + peer.authority() +
                      "\r\nX-Keep: 2\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
  wire.Send(Get("/x"));
  EXPECT_EQ(wire.Read().body, "/x") << "the client's connection lives on";
}

TEST_F(ProxyTest, ForwardedBodiesStreamBothWays) {
  TestServer upstream;
  TestServer server(Options());
  std::string body = RandomBytes(6'000'000);
  Wire wire = server.Connect();
  std::jthread sender([&] {
    wire.Send("PUT http://127.0.0.1:" + std::to_string(upstream.port()) +
              "/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 6000000\r\n\r\n" + body);
  });
  EXPECT_EQ(wire.Read().body == body, true);
  sender.join();
  wire.Send("HEAD http://127.0.0.1:" + std::to_string(upstream.port()) + "/four HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(wire.Read(true).headers.Get("Content-Length"), "5");
  EXPECT_EQ(server.handled(), 0);
  EXPECT_EQ(upstream.handled(), 2);
}

TEST_F(ProxyTest, AbsoluteTargetsOfInterceptedHostsAndOfOurselvesAreOrdinaryRequests) {
  TestServer server(Options());
  Wire wire = server.Connect();
  wire.Send("GET http://s3.us-west-2.amazonaws.com/describe?x=1 HTTP/1.1\r\nHost: s3.us-west-2.amazonaws.com\r\n\r\n");
  EXPECT_THAT(wire.Read().body, StartsWith("GET\n/describe?x=1\n/describe\nhost=s3.us-west-2.amazonaws.com\n"));
  wire.Send("GET http://127.0.0.1:" + std::to_string(server.port()) + "/describe HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(wire.Read().body, StartsWith("GET\n/describe\n"));
}

TEST_F(ProxyTest, StopCutsTunnels) {
  Peer peer([](Wire wire) { wire.ReadToEnd(); });
  TestServer server(Options());
  Wire wire = server.Connect();
  wire.Send("CONNECT " + peer.authority() + " HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(wire.Read(true).status, 200);
  server.server().StopAndWait(std::chrono::seconds(15));
  EXPECT_EQ(wire.ReadToEnd(), "");
}

TEST(ConnectPolicyTest, InterceptsTheHostsOfTheSdksAndNoOthers) {
  for (const char* host :
       {"sts.us-west-2.amazonaws.com", "sts.amazonaws.com", "iam.amazonaws.com", "s3.amazonaws.com",
        "s3.eu-west-1.amazonaws.com", "s3.dualstack.eu-west-1.amazonaws.com", "bucket.s3.amazonaws.com",
        "my.dotted.bucket.s3.us-east-1.amazonaws.com", "sm-pysdk-t-us-west-2.s3.us-west-2.amazonaws.com",
        "api.sagemaker.us-west-2.amazonaws.com", "runtime.sagemaker.us-west-2.amazonaws.com",
        "logs.us-west-2.amazonaws.com", "monitoring.us-west-2.amazonaws.com", "bucket.s3-eu-west-1.amazonaws.com"}) {
    EXPECT_TRUE(IsInterceptedHost(host)) << host;
  }
  for (const char* host :
       {"amazonaws.com", ".amazonaws.com", "example.com", "s3.amazonaws.com.example.com", "xs3.amazonaws.com",
        "ec2.us-west-2.amazonaws.com", "dynamodb.us-west-2.amazonaws.com", "a..s3.amazonaws.com",
        "bucket.s3-control.us-west-2.amazonaws.com", "123.dkr.ecr.us-west-2.amazonaws.com",
        "s3.us-west-2.amazonaws.org", "featurestore-runtime.sagemaker.us-west-2.amazonaws.com"}) {
    EXPECT_FALSE(IsInterceptedHost(host)) << host;
  }
}

TEST(ConnectPolicyTest, IsNoProxyForOtherMachines) {
  using Action = ProxyDecision::Action;
  ProxyTarget target{.host = "example.com", .port = 443};
  EXPECT_EQ(DefaultConnectPolicy(target).action, Action::kRefuse);
  target.peer_loopback = true;
  EXPECT_EQ(DefaultConnectPolicy(target).action, Action::kTunnel);
  EXPECT_TRUE(DefaultConnectPolicy(target).allow_loopback);
  target.local = true;
  EXPECT_FALSE(DefaultConnectPolicy(target).allow_loopback);
  target.host = "sts.amazonaws.com";
  EXPECT_EQ(DefaultConnectPolicy(target).action, Action::kIntercept);
}

}  // namespace
}  // namespace sagebrush::http::testing
