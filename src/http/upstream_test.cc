#include "http/upstream.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "http/fake_body.h"
#include "io/file.h"

namespace sagebrush::http {
namespace {

using testing::FakeBody;

constexpr std::string_view kAnswer = "HTTP/1.1 415 Unsupported Media Type\r\nContent-Length: 2\r\n\r\nno";
constexpr Millis kPatience{20'000}, kStall{200};

struct Outcome {
  int status = 0;
  std::string body;
  bool reusable = false;
};

// A request with such a body, to a server that answers without reading anything of it.
Outcome Ask(size_t bytes) {
  int ends[2];
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  io::UniqueFd server(ends[1]);
  EXPECT_TRUE(io::WriteAll(server.get(), kAnswer));
  asio::io_context context;
  auto upstream = std::make_shared<Upstream>(context.get_executor(), io::UniqueFd(ends[0]));
  FakeBody rest(std::string(bytes, 'x'), {.piece = 64 * 1024});
  Outcome outcome;
  auto exchange = [&]() -> asio::awaitable<void> {
    ClientRequest request{.method = "POST", .headers = {}, .body = {}};
    request.headers.Add("Content-Length", std::to_string(bytes));
    Upstream::Sending sending;
    auto reply = co_await upstream->Exchange(request, &rest, kPatience, kStall, sending);
    EXPECT_TRUE(reply) << reply.error().message;
    if (!reply) co_return;
    outcome.status = reply->head.status;
    outcome.body = *co_await ReadAll(*reply->body, 100);
    outcome.reusable = upstream->reusable();
  };
  asio::co_spawn(context, exchange(), [&](std::exception_ptr error) {
    EXPECT_EQ(error, nullptr);
    upstream.reset();
    context.stop();
  });
  context.run();
  return outcome;
}

TEST(Upstream, IsKeptWhenTheServerHasTheWholeRequest) {
  Outcome outcome = Ask(1000);
  EXPECT_EQ(outcome.status, 415);
  EXPECT_EQ(outcome.body, "no");
  EXPECT_TRUE(outcome.reusable);
}

TEST(Upstream, IsNotKeptWhenItAnsweredBeforeItTookTheWholeRequest) {
  Outcome outcome = Ask(size_t{64} << 20);
  EXPECT_EQ(outcome.status, 415);
  EXPECT_EQ(outcome.body, "no");
  EXPECT_FALSE(outcome.reusable);
}

}  // namespace
}  // namespace sagebrush::http
