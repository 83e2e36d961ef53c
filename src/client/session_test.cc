#include "client/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"
#include "io/file.h"

namespace sagebrush::client {
namespace {

using ::testing::HasSubstr;

const wire::Credentials kKeys{.access_key = "AKIAEXAMPLE", .secret = "secret", .session_token = ""};

// A server on a free loopback port that answers one scripted reply per request, each on a connection of its own, and
// keeps what it was sent.
class ScriptedServer {
 public:
  explicit ScriptedServer(std::vector<std::string> replies) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    CHECK(bind(fd_.get(), generic, length) == 0);
    CHECK(listen(fd_.get(), 8) == 0);
    CHECK(getsockname(fd_.get(), generic, &length) == 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, replies = std::move(replies)] {
      for (const std::string& reply : replies) Answer(reply);
    });
  }
  ~ScriptedServer() { Join(); }
  void Join() {
    if (thread_.joinable()) thread_.join();
  }
  Target target() const {
    return {.endpoint = "http://127.0.0.1:" + std::to_string(port_), .credentials = kKeys, .region = "us-west-2"};
  }
  std::vector<std::string> requests;  // read after Join

 private:
  void Answer(const std::string& reply) {
    io::UniqueFd peer(accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    std::string request;
    char buffer[4096];
    // The tests' bodies end with "}".
    while (!request.ends_with("}")) {
      ssize_t count = read(peer.get(), buffer, sizeof buffer);
      if (count <= 0) break;
      request.append(buffer, static_cast<size_t>(count));
    }
    requests.push_back(request);
    CHECK(io::WriteAll(peer.get(), reply).has_value());
  }

  io::UniqueFd fd_;
  uint16_t port_ = 0;
  std::thread thread_;
};

std::string Reply(const std::string& status, const std::string& body) {
  return "HTTP/1.1 " + status + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" +
         body;
}

constexpr Operation kDescribe{"sagemaker", "SageMaker", "DescribeTrainingJob"};

wire::SignableRequest ParseRequest(const std::string& text) {
  std::string path(Split(text, ' ').at(1));
  wire::SignableRequest request{.method = "POST", .path = std::move(path), .query = {}, .headers = {}};
  auto lines = Split(std::string_view(text).substr(0, text.find("\r\n\r\n")), '\n');
  for (size_t i = 1; i < lines.size(); ++i) {
    size_t colon = lines[i].find(':');
    std::string_view value = lines[i].substr(colon + 1);
    if (value.ends_with('\r')) value.remove_suffix(1);
    request.headers.emplace_back(std::string(lines[i].substr(0, colon)), std::string(Trim(value)));
  }
  return request;
}

TEST(Session, SendsASignedCallAndBringsTheBodyBack) {
  ScriptedServer server({Reply("200 OK", R"({"TrainingJobName":"a"})")});
  Session session([&] { return server.target(); });
  auto body = session.CallJson(kDescribe, R"({"TrainingJobName":"a"})");
  server.Join();
  ASSERT_TRUE(body) << body.error().message;
  EXPECT_EQ(*body, R"({"TrainingJobName":"a"})");
  ASSERT_EQ(server.requests.size(), 1u);
  const std::string& sent = server.requests[0];
  EXPECT_TRUE(sent.starts_with("POST / HTTP/1.1\r\n")) << sent;
  EXPECT_THAT(sent, HasSubstr("X-Amz-Target: SageMaker.DescribeTrainingJob\r\n"));
  std::string hash = HexEncode(Sha256(R"({"TrainingJobName":"a"})"));
  auto verified =
      wire::VerifySignature(ParseRequest(sent), hash, false, [](std::string_view) { return kKeys; }, WallClockMs());
  ASSERT_TRUE(verified) << verified.error().message;
  EXPECT_EQ(verified->service, "sagemaker");
  EXPECT_EQ(verified->region, "us-west-2");
}

TEST(Session, InvokesAnEndpoint) {
  std::string prediction = R"({"predictions":[2.5]})";
  ScriptedServer server(
      {"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-Amzn-Invoked-Production-Variant: b\r\n"
       "Content-Length: " +
           std::to_string(prediction.size()) + "\r\n\r\n" + prediction,
       "HTTP/1.1 424 Failed Dependency\r\nx-amzn-ErrorType: ModelError\r\nConnection: close\r\n"
       "Content-Length: 20\r\n\r\n{\"Message\":\"no row\"}"});
  Session session([&] { return server.target(); });
  Invocation invocation{.endpoint = "half", .content_type = "text/csv", .accept = {}, .variant = "b", .body = "{}"};
  auto reply = session.Invoke(invocation);
  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_EQ(reply->body, prediction);
  EXPECT_EQ(reply->content_type, "application/json");
  EXPECT_EQ(reply->variant, "b");
  auto refused = session.Invoke(invocation);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "ModelError");
  EXPECT_EQ(refused.error().message, "no row");
  server.Join();
  const std::string& sent = server.requests.at(0);
  EXPECT_TRUE(sent.starts_with("POST /endpoints/half/invocations HTTP/1.1\r\n")) << sent;
  EXPECT_THAT(sent, HasSubstr("X-Amzn-SageMaker-Target-Variant: b\r\n"));
  auto verified = wire::VerifySignature(
      ParseRequest(sent), HexEncode(Sha256("{}")), false, [](std::string_view) { return kKeys; }, WallClockMs());
  EXPECT_TRUE(verified) << verified.error().message;
}

TEST(Session, ErrorRepliesKeepCodeAndMessage) {
  ScriptedServer server(
      {Reply("400 Bad Request", R"({"__type":"ValidationException","message":"Requested resource not found."})")});
  Session session([&] { return server.target(); });
  auto body = session.CallJson(kDescribe, "{}");
  ASSERT_FALSE(body);
  EXPECT_EQ(body.error().code, "ValidationException");
  EXPECT_EQ(body.error().message, "Requested resource not found.");
  EXPECT_EQ(body.error().kind, ErrorKind::kInvalidArgument);
}

TEST(Session, FindsAnEngineThatCameBackElsewhere) {
  auto first = std::make_unique<ScriptedServer>(std::vector<std::string>{Reply("200 OK", "{}")});
  Target target = first->target();
  Session session([&] { return target; });
  ASSERT_TRUE(session.CallJson(kDescribe, "{}"));
  first.reset();
  auto lost = session.CallJson(kDescribe, "{}");
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().kind, ErrorKind::kUnavailable);
  ScriptedServer second({Reply("200 OK", R"({"b":1})")});
  target = second.target();
  auto found = session.CallJson(kDescribe, "{}");
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(*found, R"({"b":1})");
}

TEST(Session, AnEndpointThatIsNoneIsRefused) {
  for (const char* endpoint : {"https://127.0.0.1:1", "127.0.0.1:1", "http://host", "http://:1", "http://a:0"}) {
    Session session(
        [&]() -> Result<Target> { return Target{.endpoint = endpoint, .credentials = kKeys, .region = "r"}; });
    auto body = session.CallJson(kDescribe, "{}");
    ASSERT_FALSE(body) << endpoint;
    EXPECT_EQ(body.error().kind, ErrorKind::kInvalidArgument) << endpoint;
  }
}

TEST(ErrorFromReply, UnderstandsAllForms) {
  EXPECT_EQ(ErrorFromReply(400, R"({"__type":"com.amazonaws#ResourceNotFound","Message":"m"})").code,
            "ResourceNotFound");
  EXPECT_EQ(ErrorFromReply(400, R"({"__type":"ResourceNotFoundException","message":"m"})").kind, ErrorKind::kNotFound);
  EXPECT_EQ(ErrorFromReply(400, R"({"__type":"InvalidSignatureException"})").kind, ErrorKind::kUnauthenticated);
  EXPECT_EQ(ErrorFromReply(503, "").kind, ErrorKind::kUnavailable);
  EXPECT_EQ(ErrorFromReply(500, "<html>").kind, ErrorKind::kInternal);
  EXPECT_THAT(ErrorFromReply(502, "<html>").message, HasSubstr("502"));
}

}  // namespace
}  // namespace sagebrush::client
