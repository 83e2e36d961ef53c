#include "api/signed_body.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "base/text.h"
#include "http/fake_body.h"

namespace sagebrush::api {
namespace {

namespace asio = http::asio;
using http::testing::FakeBody;

constexpr int64_t kNow = 1769862896000;
constexpr size_t kPiece = 100;
const wire::Credentials kKey{"AKIDEXAMPLE", "secret", ""};

std::string HashOf(std::string_view body) { return HexEncode(Sha256(body)); }

// A request as a client would have signed it for this body.
wire::PendingSignature SignedFor(std::string_view body) {
  wire::SignableRequest request{"POST", "/endpoints/one/invocations", {}, {{"Host", "127.0.0.1:8080"}}};
  wire::Sign(request, kKey, "us-west-2", "sagemaker", HashOf(body), kNow);
  auto pending = wire::PendingSignature::Begin(request, [](std::string_view) { return std::optional(kKey); }, kNow);
  EXPECT_TRUE(pending) << pending.error().message;
  return *std::move(pending);
}

template <typename T>
T Wait(asio::awaitable<T> work) {
  asio::io_context context;
  std::optional<T> outcome;
  asio::co_spawn(context, std::move(work), [&](std::exception_ptr, T value) { outcome = std::move(value); });
  context.run();
  return *std::move(outcome);
}

// All that is handed out, and the code of the error that ends it.
struct Outcome {
  std::string read;
  std::string code;
  bool operator==(const Outcome&) const = default;
};
Outcome ReadToEnd(SignedBody& body) {
  Outcome outcome;
  while (true) {
    Result<std::string> piece = Wait(body.Read(kPiece));
    if (!piece) outcome.code = piece.error().code;
    if (!piece || piece->empty()) return outcome;
    outcome.read += *piece;
  }
}

TEST(SignedBody, HandsOutAllOfABodyThatIsItsSigners) {
  std::string text(1050, 'x');
  FakeBody source(text);
  SignedBody body(source, text.size(), SignedFor(text), "");
  EXPECT_TRUE(body.CheckHead());
  EXPECT_EQ(ReadToEnd(body), (Outcome{text, ""}));
  EXPECT_TRUE(Wait(body.Finish()));
}

TEST(SignedBody, KeepsTheEndOfABodyThatIsNot) {
  std::string text(1000, 'x'), other = text;
  other[3] = 'y';
  FakeBody source(other);
  SignedBody body(source, other.size(), SignedFor(text), "");
  EXPECT_TRUE(body.CheckHead());  // nobody can tell yet
  EXPECT_EQ(ReadToEnd(body), (Outcome{other.substr(0, 900), "InvalidSignatureException"}));
  EXPECT_EQ(ReadToEnd(body), (Outcome{"", "InvalidSignatureException"}));
}

TEST(SignedBody, ADeclaredDigestShowsAWrongSignatureBeforeAnythingIsRead) {
  std::string text(1000, 'x'), other(1000, 'y');
  FakeBody source(other);
  SignedBody body(source, other.size(), SignedFor(text), HashOf(other));
  Result<void> head = body.CheckHead();
  ASSERT_FALSE(head);
  EXPECT_EQ(head.error().code, "InvalidSignatureException");

  // Declared rightly, but what comes is something else.
  SignedBody changed(source, other.size(), SignedFor(text), HashOf(text));
  EXPECT_TRUE(changed.CheckHead());
  EXPECT_EQ(ReadToEnd(changed).code, "InvalidSignatureException");
}

TEST(SignedBody, ABodyThatIsCutShortIsToldAsThat) {
  FakeBody source(std::string(500, 'x'), {.piece = kPiece, .cut_short = true});
  SignedBody body(source, 1000, SignedFor(std::string(1000, 'x')), "");
  EXPECT_EQ(ReadToEnd(body), (Outcome{std::string(500, 'x'), "IncompleteBody"}));
}

TEST(SignedBody, FinishChecksWhatNobodyRead) {
  std::string text(1000, 'x');
  FakeBody right(text), wrong(std::string(1000, 'y'));
  SignedBody good(right, text.size(), SignedFor(text), "");
  ASSERT_EQ(*Wait(good.Read(kPiece)), text.substr(0, kPiece));
  EXPECT_TRUE(Wait(good.Finish()));
  SignedBody bad(wrong, text.size(), SignedFor(text), "");
  EXPECT_EQ(Wait(bad.Finish()).error().code, "InvalidSignatureException");
}

}  // namespace
}  // namespace sagebrush::api
