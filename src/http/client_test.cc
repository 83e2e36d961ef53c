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

TEST(ClientTest, OpensAClosedKeptConnectionAnew) {
  ServerOptions options;
  options.idle_deadline = std::chrono::milliseconds(20);
  TestServer server(options);
  Client client = Client::ForTcp("127.0.0.1", server.port());
  for (int i = 0; i < 3; ++i) {
    auto response = client.Call({.target = "/x"});
    ASSERT_TRUE(response) << response.error().message;
    while (server.server().open_connections() > 0) std::this_thread::yield();
  }
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
