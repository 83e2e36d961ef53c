#include "http/server.h"

#include <fcntl.h>

#include <atomic>
#include <thread>

#include "base/random.h"
#include "http/test_support.h"

namespace sagebrush::http::testing {
namespace {

using ::testing::HasSubstr;

TEST(ServerTest, KeepsAConnectionForSeveralRequests) {
  TestServer server;
  Wire wire = server.Connect();
  std::set<std::string> ids;
  for (int i = 0; i < 3; ++i) {
    wire.Send(Get("/a" + std::to_string(i)));
    Reply reply = wire.Read();
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.body, "/a" + std::to_string(i));
    EXPECT_EQ(reply.headers.Get("x-amzn-requestid"), reply.headers.Get("x-amz-request-id"));
    EXPECT_TRUE(reply.headers.Has("Date"));
    ids.emplace(reply.headers.Get("x-amzn-RequestId"));
  }
  EXPECT_EQ(ids.size(), 3u) << "every request has an id of its own";
}

TEST(ServerTest, ConnectionCloseAndHttp10EndTheConnection) {
  TestServer server;
  for (std::string request : {std::string("GET /x HTTP/1.0\r\n\r\n"), Get("/x", "Connection: close\r\n")}) {
    Wire wire = server.Connect();
    wire.Send(request);
    Reply reply = wire.Read();
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.headers.Get("Connection"), "close");
    EXPECT_TRUE(wire.AtEnd());
  }
  Wire wire = server.Connect();
  wire.Send("GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(wire.Read().headers.Get("Connection"), "keep-alive");
  wire.Send(Get("/y"));
  EXPECT_EQ(wire.Read().body, "/y");
}

TEST(ServerTest, AnswersPipelinedRequestsInOrder) {
  TestServer server;
  Wire wire = server.Connect();
  std::string all;
  for (int i = 0; i < 50; ++i) {
    all += Get("/p" + std::to_string(i));
    all += "POST /echo HTTP/1.1\r\nHost: e\r\nContent-Length: 3\r\n\r\nab" + std::to_string(i % 10);
    all +=
        "POST /echo HTTP/1.1\r\nHost: e\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n1;q=1\r\nz\r\n0\r\nT: "
        "1\r\n\r\n";
  }
  wire.Send(all);
  for (int i = 0; i < 50; ++i) {
    ASSERT_EQ(wire.Read().body, "/p" + std::to_string(i));
    ASSERT_EQ(wire.Read().body, "ab" + std::to_string(i % 10));
    ASSERT_EQ(wire.Read().body, "xyz");
  }
}

TEST(ServerTest, ReadsChunkedBodiesHoweverTheyAreCut) {
  TestServer server;
  std::string request = "PUT /echo HTTP/1.1\r\nHost: e\r\nTransfer-Encoding: chunked\r\n\r\n";
  std::string body = RandomBytes(300);
  request += "c8\r\n" + body.substr(0, 200) + "\r\n64\r\n" + body.substr(200) + "\r\n0\r\n\r\n";
  Wire wire = server.Connect();
  for (char byte : request) wire.Send(std::string_view(&byte, 1));
  EXPECT_EQ(wire.Read().body, body);

  std::string large = RandomBytes(5'000'000), framed;
  for (size_t at = 0; at < large.size(); at += 70'001) {
    std::string piece = large.substr(at, 70'001);
    char size[16];
    snprintf(size, sizeof size, "%zX\r\n", piece.size());
    framed += size + piece + "\r\n";
  }
  std::jthread sender(
      [&] { wire.Send("PUT /echo HTTP/1.1\r\nHost: e\r\nTransfer-Encoding: chunked\r\n\r\n" + framed + "0\r\n\r\n"); });
  EXPECT_EQ(wire.Read().body == large, true);
}

TEST(ServerTest, ReadsLargeBodiesOfKnownLength) {
  TestServer server;
  Wire wire = server.Connect();
  std::string body = RandomBytes(9'000'000);
  std::jthread sender([&] {
    wire.Send("PUT /echo HTTP/1.1\r\nHost: e\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  });
  EXPECT_EQ(wire.Read().body == body, true);
}

TEST(ServerTest, ContinueComesBeforeAnyByteOfTheBody) {
  TestServer server;
  Wire wire = server.Connect();
  for (int i = 0; i < 2; ++i) {
    wire.Send("PUT /echo HTTP/1.1\r\nHost: e\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\n");
    EXPECT_EQ(wire.Read().status, 100) << "nothing of the body was sent yet";
    wire.Send("hello");
    Reply reply = wire.Read();
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.body, "hello");
  }
}

TEST(ServerTest, NoContinueWhenTheHandlerDoesNotReadOrTheBodyIsThere) {
  TestServer server;
  Wire refused = server.Connect();
  refused.Send("PUT /unread HTTP/1.1\r\nHost: e\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  Reply reply = refused.Read();
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.headers.Get("Connection"), "close") << "whether a body follows is unknown";

  Wire eager = server.Connect();
  eager.Send("PUT /echo HTTP/1.1\r\nHost: e\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello");
  EXPECT_EQ(eager.Read().status, 200);
}

TEST(ServerTest, DropsUnreadBodiesUpToALimit) {
  ServerOptions options;
  options.drain_bytes = 100'000;
  TestServer server(options);
  Wire wire = server.Connect();
  wire.Send("PUT /unread HTTP/1.1\r\nHost: e\r\nContent-Length: 90000\r\n\r\n" + std::string(90'000, 'x') +
            Get("/next"));
  EXPECT_EQ(wire.Read().body, "/unread");
  EXPECT_EQ(wire.Read().body, "/next");

  Wire large = server.Connect();
  large.Send("PUT /unread HTTP/1.1\r\nHost: e\r\nContent-Length: 100001\r\n\r\n");
  Reply reply = large.Read();
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.headers.Get("Connection"), "close");
  EXPECT_TRUE(large.AtEnd());
}

TEST(ServerTest, HeadHasTheLengthAndNoBody) {
  TempDir dir;
  TestServer server;
  server.file = dir.path() / "file";
  ASSERT_TRUE(io::WriteFile(server.file, "0123456789"));
  Wire wire = server.Connect();
  wire.Send("HEAD /file?length=7 HTTP/1.1\r\nHost: e\r\n\r\n");
  Reply reply = wire.Read(true);
  EXPECT_EQ(reply.headers.Get("Content-Length"), "7");
  wire.Send("HEAD /four HTTP/1.1\r\nHost: e\r\n\r\n");
  EXPECT_EQ(wire.Read(true).headers.Get("Content-Length"), "5");
  wire.Send(Get("/after"));
  EXPECT_EQ(wire.Read().body, "/after") << "no stray bytes followed the HEAD replies";
}

TEST(ServerTest, SendsRangesOfFiles) {
  TempDir dir;
  TestServer server;
  server.file = dir.path() / "file";
  std::string content = RandomBytes(20'000'000);
  ASSERT_TRUE(io::WriteFile(server.file, content));
  Wire wire = server.Connect();
  struct Range {
    size_t offset, length;
  };
  for (auto [offset, length] : {Range{0, 20'000'000}, Range{5, 0}, Range{19'999'999, 1}, Range{1'234'567, 9'876'543}}) {
    wire.Send(Get("/file?offset=" + std::to_string(offset) + "&length=" + std::to_string(length)));
    EXPECT_EQ(wire.Read().body == content.substr(offset, length), true) << offset << "+" << length;
  }
}

TEST(ServerTest, AFileShorterThanPromisedEndsTheConnection) {
  TempDir dir;
  TestServer server;
  server.file = dir.path() / "file";
  ASSERT_TRUE(io::WriteFile(server.file, "short"));
  Wire wire = server.Connect();
  wire.Send(Get("/file?length=100"));
  EXPECT_THAT(wire.ReadToEnd(), ::testing::EndsWith("\r\n\r\nshort"));
}

TEST(ServerTest, KeepsTheTargetRawAndDecodesTheQueryInOrder) {
  TestServer server;
  Wire wire = server.Connect();
  wire.Send(
      "GET /describe/a%2Fb//c%20d?b=2&a&x=%26%3D&b=+1&=v&uploads HTTP/1.1\r\nhOsT: EXAMPLE.com:8080\r\nX-Z:  1 \r\nA: "
      "2\r\n\r\n");
  std::string text = wire.Read().body;
  EXPECT_EQ(text,
            "GET\n/describe/a%2Fb//c%20d?b=2&a&x=%26%3D&b=+1&=v&uploads\n/describe/a%2Fb//"
            "c%20d\nhost=example.com\ntls=0\nlocal=0\n"
            "query b=2\nquery a=\nquery x=&=\nquery b= 1\nquery =v\nquery uploads=\n"
            "field hOsT=EXAMPLE.com:8080\nfield X-Z=1\nfield A=2\n");
}

TEST(ServerTest, MarksRequestsOfTheUnixSocketLocal) {
  TempDir dir;
  ServerOptions options;
  options.unix_socket = dir.path() / "engine.sock";
  std::filesystem::path socket = options.unix_socket;
  {
    TestServer server(options);
    EXPECT_EQ(std::filesystem::status(socket).permissions(), std::filesystem::perms(0666));
    Wire wire = Wire::ToUnix(socket);
    wire.Send(Get("/describe"));
    EXPECT_THAT(wire.Read().body, HasSubstr("local=1"));
    Wire tcp = server.Connect();
    tcp.Send(Get("/describe"));
    EXPECT_THAT(tcp.Read().body, HasSubstr("local=0"));

    io::Runtime runtime(1, 1);
    Server second(runtime, {.unix_socket = socket}, {});
    Result<void> refused = second.Start();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, ErrorKind::kAlreadyExists);
  }
  EXPECT_FALSE(std::filesystem::exists(socket)) << "a stopped server leaves no socket file";
}

TEST(ServerTest, ReplacesTheSocketOfADeadEngine) {
  TempDir dir;
  ServerOptions options;
  options.unix_socket = dir.path() / "engine.sock";
  int dead = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{.sun_family = AF_UNIX};
  options.unix_socket.native().copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(dead, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ::close(dead);
  TestServer server(options);
  Wire wire = Wire::ToUnix(options.unix_socket);
  wire.Send(Get("/x"));
  EXPECT_EQ(wire.Read().status, 200);
}

TEST(ServerTest, AHandlerThatThrowsGivesA500AndTheConnectionGoesOn) {
  TestServer server;
  Wire wire = server.Connect();
  wire.Send(Get("/throw"));
  Reply reply = wire.Read();
  EXPECT_EQ(reply.status, 500);
  EXPECT_THAT(reply.body, ::testing::Not(HasSubstr("deliberate")));
  wire.Send(Get("/x"));
  EXPECT_EQ(wire.Read().status, 200);
}

TEST(ServerTest, AnswersAClientThatClosesItsSideFirst) {
  TestServer server;
  Wire wire = server.Connect();
  wire.Send("POST /echo HTTP/1.1\r\nHost: e\r\nContent-Length: 4\r\n\r\ndata" + Get("/second"));
  wire.HalfClose();
  EXPECT_EQ(wire.Read().body, "data");
  EXPECT_EQ(wire.Read().body, "/second");
  EXPECT_TRUE(wire.AtEnd());
}

TEST(ServerTest, Serves200ConnectionsAtOnce) {
  TestServer server;
  std::vector<Wire> wires;
  for (int i = 0; i < 200; ++i) {
    wires.push_back(server.Connect());
    wires.back().Send(Get("/gate"));
  }
  server.AwaitAtGate(200);
  EXPECT_EQ(server.server().open_connections(), 200u);
  server.Open();
  for (Wire& wire : wires) EXPECT_EQ(wire.Read().body, "through");
  for (size_t i = 0; i < wires.size(); ++i) wires[i].Send(Get("/again" + std::to_string(i)));
  for (size_t i = 0; i < wires.size(); ++i) EXPECT_EQ(wires[i].Read().body, "/again" + std::to_string(i));
}

TEST(ServerTest, RefusesConnectionsBeyondTheLimitInWords) {
  ServerOptions options;
  options.max_connections = 1;
  TestServer server(options);
  Wire first = server.Connect();
  first.Send(Get("/x"));
  EXPECT_EQ(first.Read().status, 200);
  Wire second = server.Connect();
  Reply reply = second.Read();
  EXPECT_EQ(reply.status, 503);
  EXPECT_THAT(reply.body, HasSubstr("as many connections as it allows"));
}

TEST(ServerTest, ReportsAPortThatIsTaken) {
  TestServer server;
  io::Runtime runtime(1, 1);
  Server second(runtime, {.tcp = {{"127.0.0.1", server.port()}}}, {});
  Result<void> started = second.Start();
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message, HasSubstr("another program has that port"));
}

}  // namespace
}  // namespace sagebrush::http::testing
