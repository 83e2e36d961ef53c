#include "http/client.h"

#include "base/random.h"
#include "http/test_support.h"

namespace sagebrush::http::testing {
namespace {

using ::testing::HasSubstr;

// Answers each connection in turn with a fixed string after its first bytes arrive, then closes it.
class ScriptedServer {
 public:
  explicit ScriptedServer(std::vector<std::string> answers) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    ::bind(listener_, reinterpret_cast<sockaddr*>(&address), size);
    ::listen(listener_, 5);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port = ntohs(address.sin_port);
    thread_ = std::jthread([this, answers] {
      for (const std::string& answer : answers) {
        int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (fd < 0) return;
        ++accepted;
        Wire wire(fd);
        wire.Fill();
        wire.Send(answer);
      }
    });
  }
  ~ScriptedServer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  uint16_t port = 0;
  std::atomic<int> accepted = 0;

 private:
  int listener_;
  std::jthread thread_;
};

TEST(ClientTest, ReusesOneConnectionForManyCalls) {
  TestServer server;
  Client client = Client::ForTcp("127.0.0.1", server.port());
  for (int i = 0; i < 5; ++i) {
    auto response = client.Call({.method = "POST", .target = "/echo", .body = "body" + std::to_string(i)});
    ASSERT_TRUE(response) << response.error().message;
    EXPECT_EQ(response->status, 200);
    EXPECT_EQ(response->body, "body" + std::to_string(i));
    EXPECT_EQ(server.server().open_connections(), 1u);
  }
  auto head = client.Call({.method = "HEAD", .target = "/four"});
  ASSERT_TRUE(head);
  EXPECT_EQ(head->headers.Get("Content-Length"), "5");
  EXPECT_EQ(head->body, "");
  auto after = client.Call({.target = "/after"});
  ASSERT_TRUE(after);
  EXPECT_EQ(after->body, "/after");
}

TEST(ClientTest, CarriesLargeBodiesAndHeadersOverAUnixSocket) {
  TempDir dir;
  TestServer server({.unix_socket = dir.path() / "engine.sock"});
  Client client = Client::ForUnix(dir.path() / "engine.sock");
  std::string body = RandomBytes(8'000'000);
  auto response = client.Call({.method = "PUT", .target = "/echo", .body = body});
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->body == body, true);
  ClientRequest request{.target = "/describe?a=b"};
  request.headers.Add("Host", "named.example");
  request.headers.Add("X-A", "1\r\nX-Forged: 2");
  response = client.Call(request);
  ASSERT_TRUE(response);
  EXPECT_THAT(response->body, HasSubstr("host=named.example"));
  EXPECT_THAT(response->body, HasSubstr("local=1"));
  EXPECT_THAT(response->body, ::testing::Not(HasSubstr("field X-Forged")));
}

TEST(ClientTest, SaysHowToStartTheEngine) {
  TempDir dir;
  auto gone = Client::ForUnix(dir.path() / "none.sock").Call({});
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().kind, ErrorKind::kUnavailable);
  EXPECT_THAT(gone.error().message, HasSubstr("none.sock"));
  EXPECT_THAT(gone.error().message, HasSubstr("sagebrush serve"));
  uint16_t port;
  {
    TestServer server;
    port = server.port();
  }
  gone = Client::ForTcp("127.0.0.1", port).Call({});
  ASSERT_FALSE(gone);
  EXPECT_THAT(gone.error().message, HasSubstr("not running at http://127.0.0.1:" + std::to_string(port)));
}

// With and without TLS.
void ExpectKeptConnectionsToBeOpenedAnew(ServerOptions options, const std::shared_ptr<const TlsTrust>& trust) {
  options.idle_deadline = std::chrono::milliseconds(20);
  TestServer server(std::move(options));
  Client client =
      trust ? Client::ForTls("127.0.0.1", server.port(), trust) : Client::ForTcp("127.0.0.1", server.port());
  for (int i = 0; i < 3; ++i) {
    auto response = client.Call({.target = "/x"});
    ASSERT_TRUE(response) << response.error().message;
    while (server.server().open_connections() > 0) std::this_thread::yield();
  }
}

TEST(ClientTest, OpensAClosedKeptConnectionAnew) { ExpectKeptConnectionsToBeOpenedAnew({}, nullptr); }

class TlsClientTest : public ::testing::Test {
 protected:
  std::shared_ptr<const TlsTrust> Trust(const std::filesystem::path& file, bool verify = true) {
    auto trust = TlsTrust::Load(file, verify);
    EXPECT_TRUE(trust) << trust.error().message;
    return trust ? *trust : nullptr;
  }
  TempDir dir_;
  std::unique_ptr<CertificateAuthority> authority_ = *CertificateAuthority::Open(dir_.path() / "ca", "localhost");
  std::shared_ptr<const TlsTrust> trust_ = Trust(authority_->certificate_file());

  // What a client makes of a server that proves to be `host`, says `answer` and hangs up without TLS's goodbye.
  Result<ClientResponse> CallServerOf(const std::string& host, const std::string& answer) {
    int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener, 5), 0);
    ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
    std::jthread thread([&] {
      int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
      std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(authority_->server_context()), &SSL_free);
      SetDefaultHost(ssl.get(), &host);
      SSL_set_fd(ssl.get(), fd);
      char request[1024];
      if (SSL_accept(ssl.get()) == 1 && SSL_read(ssl.get(), request, sizeof request) > 0) {
        SSL_write(ssl.get(), answer.data(), static_cast<int>(answer.size()));
      }
      ::close(fd);
    });
    auto response = Client::ForTls("127.0.0.1", ntohs(address.sin_port), trust_).Call({});
    thread.join();
    ::close(listener);
    return response;
  }
};

TEST_F(TlsClientTest, CarriesLargeBodiesBothWaysOverOneConnection) {
  TestServer server({.authority = authority_.get()});
  Client client = Client::ForTls("localhost", server.port(), trust_);
  std::string body = RandomBytes(8'000'000);
  for (int i = 0; i < 3; ++i) {
    auto response = client.Call({.method = "PUT", .target = "/echo", .body = body});
    ASSERT_TRUE(response) << response.error().message;
    EXPECT_EQ(response->body == body, true);
    EXPECT_EQ(server.server().open_connections(), 1u);
  }
  EXPECT_THAT(client.Call({.target = "/describe"})->body, HasSubstr("tls=1"));
  ExpectKeptConnectionsToBeOpenedAnew({.authority = authority_.get()}, trust_);
}

TEST_F(TlsClientTest, ManyConnectionsShareOneTrustAcrossThreads) {
  TestServer server({.authority = authority_.get()});
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 5; ++round) {
        Client client = Client::ForTls("127.0.0.1", server.port(), trust_);
        std::string body(static_cast<size_t>(100'000 * (i + 1)), static_cast<char>('a' + i));
        auto response = client.Call({.method = "PUT", .target = "/echo", .body = body});
        EXPECT_TRUE(response && response->body == body);
      }
    });
  }
}

TEST_F(TlsClientTest, BelievesOnlyItsAuthorities) {
  auto other = CertificateAuthority::Open(dir_.path() / "other", "localhost");
  ASSERT_TRUE(other);
  TestServer server({.authority = authority_.get()});
  auto call = [&](std::shared_ptr<const TlsTrust> trust) {
    return Client::ForTls("localhost", server.port(), std::move(trust)).Call({.target = "/x"});
  };
  auto stranger = call(Trust((*other)->certificate_file()));
  ASSERT_FALSE(stranger);
  EXPECT_EQ(stranger.error().kind, ErrorKind::kFailedPrecondition);
  EXPECT_THAT(stranger.error().message,
              HasSubstr("the certificate of https://localhost:" + std::to_string(server.port()) + " is not trusted"));
  EXPECT_FALSE(call(Trust("")));  // nor is it one of the system's
  EXPECT_TRUE(call(Trust("", false)));
  EXPECT_TRUE(call(trust_));
  auto none = TlsTrust::Load(dir_.path() / "none.pem", true);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().kind, ErrorKind::kFailedPrecondition);
  EXPECT_THAT(none.error().message, HasSubstr("none.pem"));
}

TEST_F(TlsClientTest, TheCertificateHasToNameTheHost) {
  const std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  auto right = CallServerOf("127.0.0.1", answer);
  ASSERT_TRUE(right) << right.error().message;
  EXPECT_EQ(right->body, "ok");
  auto wrong = CallServerOf("elsewhere.example", answer);
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().message, HasSubstr("mismatch"));
}

TEST_F(TlsClientTest, AnAnswerThatSomebodyCutOffIsNotTakenForWhole) {
  auto cut = CallServerOf("127.0.0.1", "HTTP/1.1 200 OK\r\n\r\nuntil the en");
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().kind, ErrorKind::kUnavailable);
}

TEST_F(TlsClientTest, AServerWithoutTlsIsTold) {
  ScriptedServer plain({"HTTP/1.1 400 Bad Request\r\n\r\n", ""});
  auto refused = Client::ForTls("127.0.0.1", plain.port, trust_).Call({});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kFailedPrecondition);
  EXPECT_THAT(refused.error().message, HasSubstr("TLS handshake"));
  auto closed = Client::ForTls("127.0.0.1", plain.port, trust_).Call({});
  ASSERT_FALSE(closed);
  EXPECT_EQ(closed.error().kind, ErrorKind::kUnavailable);
}

TEST(ClientTest, UnderstandsEveryFraming) {
  ScriptedServer server(
      {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: "
       "chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
       "HTTP/1.1 200 OK\r\n\r\nuntil the end", "HTTP/1.1 204 No Content\r\n\r\n",
       "HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nfour"});
  Client client = Client::ForTcp("127.0.0.1", server.port);
  for (const char* body : {"abcde", "until the end", "", "four"}) {
    auto response = client.Call({});
    ASSERT_TRUE(response) << response.error().message;
    EXPECT_EQ(response->body, body);
  }
}

TEST(ClientTest, BrokenAnswersAreErrors) {
  struct Case {
    std::string answer;
    ErrorKind kind;
  };
  for (const Case& bad :
       {Case{"", ErrorKind::kUnavailable}, Case{"HTTP/1.1 200 OK\r\nContent-Le", ErrorKind::kUnavailable},
        Case{"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", ErrorKind::kUnavailable},
        Case{"nonsense\r\n\r\n", ErrorKind::kDataLoss},
        Case{"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + std::string(2000, 'x'),
             ErrorKind::kResourceExhausted}}) {
    ScriptedServer server({bad.answer});
    Client client = Client::ForTcp("127.0.0.1", server.port, {.response_limit = 1000});
    auto response = client.Call({});
    ASSERT_FALSE(response) << bad.answer;
    EXPECT_EQ(response.error().kind, bad.kind) << response.error().message;
    EXPECT_EQ(server.accepted, 1);
  }
}

TEST(ClientTest, KeepsItsDeadline) {
  TestServer server;
  Client client = Client::ForTcp("127.0.0.1", server.port(), {.deadline = std::chrono::milliseconds(50)});
  auto response = client.Call({.target = "/gate"});
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().kind, ErrorKind::kDeadlineExceeded);
}

}  // namespace
}  // namespace sagebrush::http::testing
