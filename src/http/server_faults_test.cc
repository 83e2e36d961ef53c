// What the server does with malformed input, slow peers, and its own end.
#include <thread>

#include "base/random.h"
#include "http/test_support.h"

namespace sagebrush::http::testing {
namespace {

using std::chrono::milliseconds;
using ::testing::AnyOf;
using ::testing::HasSubstr;

struct Malformed {
  const char* name;
  std::string bytes;
  int status;
};

std::vector<Malformed> MalformedRequests() {
  const std::string host = "Host: e\r\n";
  return {
      {"binary", std::string("\0\1\2\3\4garbage\r\n\r\n", 17), 400},
      {"no method", " / HTTP/1.1\r\n" + host + "\r\n", 400},
      {"words", "hello there\r\n\r\n", 400},
      {"one word", "hello\n\n", 400},
      {"bare line feeds", "GET / HTTP/1.1\nHost: e\n\n", 400},
      {"HTTP/0.9", "GET /\r\n\r\n", 400},
      {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      {"HTTP/3.7", "GET / HTTP/3.7\r\n" + host + "\r\n", 505},
      {"HTTP/1.9", "GET / HTTP/1.9\r\n" + host + "\r\n", 505},
      {"letters as version", "GET / HTTP/one\r\n" + host + "\r\n", 400},
      {"no host", "GET / HTTP/1.1\r\n\r\n", 400},
      {"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
      {"host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
      {"host with a bad port", "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", 400},
      {"relative target", "GET index HTTP/1.1\r\n" + host + "\r\n", 400},
      {"fragment", "GET /a#b HTTP/1.1\r\n" + host + "\r\n", 400},
      {"control character in target", "GET /a\x01 HTTP/1.1\r\n" + host + "\r\n", 400},
      {"broken escape in path", "GET /%zz HTTP/1.1\r\n" + host + "\r\n", 400},
      {"broken escape in query", "GET /?a=%4 HTTP/1.1\r\n" + host + "\r\n", 400},
      {"https through plain", "GET https://host/ HTTP/1.1\r\n" + host + "\r\n", 400},
      {"field without colon", "GET / HTTP/1.1\r\n" + host + "nonsense\r\n\r\n", 400},
      {"space before colon", "GET / HTTP/1.1\r\n" + host + "A : b\r\n\r\n", 400},
      {"NUL in a value", "GET / HTTP/1.1\r\n" + host + std::string("A: b\0c\r\n\r\n", 10), 400},
      {"carriage return in a value", "GET / HTTP/1.1\r\n" + host + "A: b\rc\r\n\r\n", 400},
      {"negative length", "POST / HTTP/1.1\r\n" + host + "Content-Length: -1\r\n\r\n", 400},
      {"length in hex", "POST / HTTP/1.1\r\n" + host + "Content-Length: 0x10\r\n\r\n", 400},
      {"huge length", "POST / HTTP/1.1\r\n" + host + "Content-Length: 99999999999999999999\r\n\r\n", 400},
      {"two lengths", "POST / HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
      {"length and chunks", "POST / HTTP/1.1\r\n" + host + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
       400},
      {"chunks and length", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
       400},
      {"chunked twice",
       "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"gzip transfer", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
      {"unknown transfer", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: wrapped\r\n\r\n", 501},
      {"chunks in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"other expectation", "POST / HTTP/1.1\r\n" + host + "Expect: miracles\r\nContent-Length: 1\r\n\r\n", 417},
      {"header too large", "GET / HTTP/1.1\r\n" + host + "A: " + std::string(70'000, 'a') + "\r\n\r\n", 431},
      {"endless field", "GET / HTTP/1.1\r\n" + host + "A: " + std::string(200'000, 'a'), 431},
      {"target too large", "GET /" + std::string(70'000, 'a') + " HTTP/1.1\r\n" + host + "\r\n", 431},
      {"CONNECT without port", "CONNECT host HTTP/1.1\r\n" + host + "\r\n", 400},
      {"CONNECT to a path", "CONNECT /x HTTP/1.1\r\n" + host + "\r\n", 400},
      {"TLS where there is none", std::string("\x16\x03\x01\x02\x00\x01", 6), 400},
  };
}

TEST(ServerFaultsTest, MalformedRequestsGetAClearAnswerAndAClosedConnection) {
  TestServer server;
  for (const Malformed& malformed : MalformedRequests()) {
    SCOPED_TRACE(malformed.name);
    Wire wire = server.Connect();
    wire.Send(malformed.bytes);
    wire.HalfClose();
    Reply reply = wire.Read();
    EXPECT_EQ(reply.status, malformed.status) << reply.body;
    EXPECT_EQ(reply.headers.Get("Connection"), "close");
    EXPECT_THAT(std::string(reply.headers.Get("Content-Type")), HasSubstr("text/plain"));
    EXPECT_GT(reply.body.size(), 20u);
    EXPECT_TRUE(wire.AtEnd());
  }
  EXPECT_EQ(server.handled(), 0);
}

TEST(ServerFaultsTest, ManySmallFieldsAreCountedTogether) {
  TestServer server;
  Wire wire = server.Connect();
  std::string fields = "GET / HTTP/1.1\r\nHost: e\r\n";
  for (int i = 0; i < 10'000; ++i) fields += "X-" + std::to_string(i) + ": y\r\n";
  wire.Send(fields);
  EXPECT_EQ(wire.Read().status, 431);
}

TEST(ServerFaultsTest, BrokenChunksReachTheHandlerAsAnError) {
  TestServer server;
  for (std::string chunks : {"zz\r\nab\r\n0\r\n\r\n", "2\r\nabc\r\n0\r\n\r\n", "-1\r\n", "fffffffffffffffff\r\na"}) {
    SCOPED_TRACE(chunks);
    Wire wire = server.Connect();
    wire.Send("POST /echo HTTP/1.1\r\nHost: e\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks);
    Reply reply = wire.Read();
    EXPECT_EQ(reply.status, 400);
    EXPECT_EQ(reply.headers.Get("Connection"), "close");
    EXPECT_TRUE(wire.AtEnd());
  }
}

TEST(ServerFaultsTest, ABodyCutShortIsAnError) {
  TestServer server;
  for (std::string framing : {"Content-Length: 10\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"}) {
    Wire wire = server.Connect();
    wire.Send("POST /echo HTTP/1.1\r\nHost: e\r\n" + framing);
    wire.HalfClose();
    Reply reply = wire.Read();
    EXPECT_EQ(reply.status, 400);
    EXPECT_THAT(reply.body, HasSubstr("the "));
  }
}

TEST(ServerFaultsTest, RandomBytesNeverStopTheServer) {
  TestServer server;
  for (int i = 0; i < 300; ++i) {
    Wire wire = server.Connect();
    std::string bytes = i % 2 == 0 ? "" : "POST /echo HTTP/1.1\r\nHost: e\r\nTransfer-Encoding: chunked\r\n\r\n";
    wire.Send(bytes + RandomBytes(200));
    wire.HalfClose();
    std::string answer = wire.ReadToEnd();
    EXPECT_TRUE(answer.empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 505")) << answer;
  }
  Wire wire = server.Connect();
  wire.Send(Get("/x"));
  EXPECT_EQ(wire.Read().status, 200);
}

TEST(ServerFaultsTest, ASlowHeaderTimesOutHoweverItTrickles) {
  ServerOptions options;
  options.header_deadline = milliseconds(300);
  TestServer server(options);
  Wire stuck = server.Connect();
  stuck.Send("GET / HTTP/1.1\r\nHos");
  EXPECT_EQ(stuck.Read().status, 408);
  EXPECT_TRUE(stuck.AtEnd());

  // One byte each 20 ms would keep a per-read deadline happy for ever.
  Wire trickle = server.Connect();
  trickle.Send("GET / HTTP/1.1\r\nA: ");
  std::atomic<bool> answered = false;
  std::jthread sender([&] {
    while (!answered) {
      trickle.Send("a");
      pollfd readable{trickle.fd(), POLLIN, 0};
      answered = ::poll(&readable, 1, 20) > 0;
    }
  });
  sender.join();
  EXPECT_EQ(trickle.Read().status, 408);
}

TEST(ServerFaultsTest, IdleConnectionsAreClosedWithoutAWord) {
  ServerOptions options;
  options.idle_deadline = milliseconds(50);
  TestServer server(options);
  Wire fresh = server.Connect();
  EXPECT_EQ(fresh.ReadToEnd(), "");
  Wire used = server.Connect();
  used.Send(Get("/x"));
  EXPECT_EQ(used.Read().status, 200);
  EXPECT_EQ(used.ReadToEnd(), "");
}

TEST(ServerFaultsTest, ABodyThatStallsIsAnErrorForTheHandler) {
  ServerOptions options;
  options.stall_deadline = milliseconds(50);
  options.linger_deadline = milliseconds(50);
  TestServer server(options);
  Wire wire = server.Connect();
  wire.Send("POST /echo HTTP/1.1\r\nHost: e\r\nContent-Length: 10\r\n\r\nhalf");
  Reply reply = wire.Read();
  EXPECT_EQ(reply.status, 400);
  EXPECT_THAT(reply.body, HasSubstr("took too long"));
  EXPECT_TRUE(wire.AtEnd());
}

TEST(ServerFaultsTest, AClientThatStopsReadingLosesItsConnection) {
  TempDir dir;
  ServerOptions options;
  options.stall_deadline = milliseconds(100);
  TestServer server(options);
  server.file = dir.path() / "file";
  ASSERT_TRUE(io::WriteFile(server.file, std::string(50'000'000, 'x')));
  Wire wire = server.Connect();
  wire.Send(Get("/file?length=50000000"));
  EXPECT_EQ(wire.ReadBytes(4), "HTTP");
  Wire other = server.Connect();
  other.Send(Get("/x"));
  ASSERT_EQ(other.Read().status, 200);
  // Only the stalled connection ends: the server says so by its own count.
  auto patience = std::chrono::steady_clock::now() + milliseconds(kPatienceMs);
  while (server.server().open_connections() > 1 && std::chrono::steady_clock::now() < patience) {
    other.Send(Get("/x"));
    ASSERT_EQ(other.Read().status, 200);
  }
  EXPECT_EQ(server.server().open_connections(), 1u);
  EXPECT_LT(wire.ReadToEnd().size(), 50'000'000u);
}

TEST(ServerFaultsTest, StopLetsRequestsInFlightEndAndClosesIdleConnections) {
  auto server = std::make_unique<TestServer>();
  Wire idle = server->Connect();
  idle.Send(Get("/x"));
  EXPECT_EQ(idle.Read().status, 200);
  Wire busy = server->Connect();
  busy.Send(Get("/gate"));
  server->AwaitAtGate(1);
  std::jthread stopper([&] { server->server().StopAndWait(std::chrono::seconds(20)); });
  EXPECT_TRUE(idle.AtEnd()) << "an idle connection is closed at once";
  server->Open();
  Reply reply = busy.Read();
  EXPECT_EQ(reply.body, "through");
  EXPECT_EQ(reply.headers.Get("Connection"), "close");
  EXPECT_TRUE(busy.AtEnd());
  stopper.join();
  EXPECT_EQ(server->server().open_connections(), 0u);
  EXPECT_EQ(server->cancelled(), 0);
}

TEST(ServerFaultsTest, AHandlerCanTellThatItsClientHasGone) {
  TestServer server;
  {
    Wire wire = server.Connect();
    wire.Send(Get("/gate"));
    server.AwaitAtGate(1);
    EXPECT_FALSE(server.PeerGone());
    wire.Send(Get("/next"));  // what waits to be read is no reason to think so
    EXPECT_FALSE(server.PeerGone());
  }
  Wire wire = server.Connect();
  wire.Send(Get("/gate"));
  server.AwaitAtGate(2);
  EXPECT_FALSE(server.PeerGone());
  wire.HalfClose();
  while (!server.PeerGone()) std::this_thread::yield();
}

TEST(ServerFaultsTest, StopCancelsWhatOutlastsItsGrace) {
  TestServer server;
  Wire at_gate = server.Connect(), in_body = server.Connect(), in_header = server.Connect();
  at_gate.Send(Get("/gate"));
  in_body.Send("POST /echo HTTP/1.1\r\nHost: e\r\nContent-Length: 10\r\n\r\nhalf");
  in_header.Send("GET / HT");
  server.AwaitAtGate(1);
  server.server().StopAndWait(milliseconds(50));
  EXPECT_EQ(server.server().open_connections(), 0u);
  EXPECT_EQ(server.cancelled(), 1) << "the handler was unwound, not left behind";
  EXPECT_EQ(at_gate.ReadToEnd(), "");
}

TEST(ServerFaultsTest, StopsUnderLoad) {
  for (int round = 0; round < 5; ++round) {
    TestServer server;
    std::atomic<bool> done = false;
    std::vector<std::jthread> clients;
    for (int i = 0; i < 8; ++i) {
      clients.emplace_back([&, port = server.port()] {
        while (!done) {
          int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
          sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
          bool connected = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
          Wire wire(fd);
          if (!connected) continue;
          wire.Send(Get("/a") + Get("/b"));
          Reply reply = wire.Read();
          EXPECT_THAT(reply.status, AnyOf(0, 200));
        }
      });
    }
    while (server.handled() < 200) std::this_thread::yield();
    server.server().StopAndWait(std::chrono::seconds(10));
    EXPECT_EQ(server.server().open_connections(), 0u);
    done = true;
  }
}

}  // namespace
}  // namespace sagebrush::http::testing
