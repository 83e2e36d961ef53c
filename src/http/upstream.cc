#include "http/upstream.h"

#include <sys/socket.h>

namespace sagebrush::http {
namespace {

constexpr size_t kReadStep = 16 * 1024;
constexpr size_t kPiece = 256 * 1024;  // of a request's body that is passed on
constexpr size_t kHeadLimit = 64 * 1024;

int FamilyOf(int socket) {
  int family = AF_UNIX;
  socklen_t size = sizeof family;
  ::getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &family, &size);
  return family;
}

Transport::Socket Adopt(const asio::any_io_executor& executor, io::UniqueFd connected) {
  int family = FamilyOf(connected.get());
  return Transport::Socket(executor, asio::generic::stream_protocol(family, 0), connected.Release());
}

}  // namespace

asio::awaitable<Result<MessageParser>> ReadResponseHead(Transport& upstream, std::string& buffer, size_t limit,
                                                        Millis deadline) {
  MessageParser parser(MessageParser::Kind::kResponse, limit);
  upstream.ExpireAfter(deadline);
  while (true) {
    auto used = parser.Feed(buffer);
    if (!used)
      co_return Fail(Error(ErrorKind::kUnavailable, "the server's answer was malformed: " + used.error().text));
    buffer.erase(0, *used);
    if (parser.head_done()) {
      if (parser.head().status >= 200) co_return parser;
      parser = MessageParser(MessageParser::Kind::kResponse, limit);
      continue;
    }
    if (*used > 0 && !buffer.empty()) continue;
    size_t before = buffer.size();
    buffer.resize_and_overwrite(before + kReadStep, [](char*, size_t size) { return size; });
    Result<size_t> got = co_await upstream.ReadSome(buffer.data() + before, kReadStep);
    buffer.resize(before + (got ? *got : 0));
    if (!got) co_return Fail(std::move(got).error());
    if (*got == 0) co_return Fail(Error(ErrorKind::kUnavailable, "the server closed the connection without an answer"));
  }
}

Upstream::Upstream(const asio::any_io_executor& executor, io::UniqueFd connected)
    : transport_(std::make_shared<Transport>(Adopt(executor, std::move(connected)))) {}

// A server may answer and close before it has read the whole request, so a failure to write is no reason not to look
// for the answer.
asio::awaitable<Result<bool>> Upstream::SendRest(BodyReader& rest, Millis stall, Sending& sending) {
  while (true) {
    Result<std::string> piece = co_await rest.Read(kPiece);
    sending.broke = !piece;
    if (!piece) co_return Fail(std::move(piece).error());
    if (piece->empty()) co_return true;
    Result<void> written = co_await transport_->Write(*piece, {}, stall);
    if (!written) co_return false;
  }
}

asio::awaitable<Result<Upstream::Reply>> Upstream::Exchange(const ClientRequest& request, BodyReader* rest,
                                                            Millis deadline, Millis stall, Sending& sending) {
  keep_alive_ = false;
  std::string head = FormatHead(request, "localhost");
  transport_->ExpireAfter(stall);
  Result<size_t> first = co_await transport_->WriteSome(head, request.body);
  sending.began = first.has_value();
  if (!first) co_return Fail(std::move(first).error());
  std::string_view rest_of_head(head), rest_of_body(request.body);
  size_t of_head = std::min(*first, rest_of_head.size());
  rest_of_head.remove_prefix(of_head);
  rest_of_body.remove_prefix(*first - of_head);
  bool whole = (co_await transport_->Write(rest_of_head, rest_of_body, stall)).has_value();
  if (whole && rest != nullptr) {
    CO_TRY(whole, co_await SendRest(*rest, stall, sending));
  }
  Result<MessageParser> parser = co_await ReadResponseHead(*transport_, buffer_, kHeadLimit, deadline);
  if (!parser) co_return Fail(std::move(parser).error());
  Reply reply{.head = parser->head(), .body = nullptr};
  bool has_body = request.method != "HEAD" && reply.head.status != 204 && reply.head.status != 304;
  bool until_eof = has_body && !reply.head.chunked && !reply.head.content_length;
  keep_alive_ = whole && reply.head.keep_alive && !until_eof;
  reply.body = std::make_unique<MessageBody>(*transport_, buffer_, *std::move(parser), stall, until_eof);
  co_return reply;
}

}  // namespace sagebrush::http
