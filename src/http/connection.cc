#include <boost/asio/post.hpp>
#include <exception>

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "base/text.h"
#include "http/body.h"
#include "http/response_writer.h"
#include "http/server_core.h"

namespace sagebrush::http {
namespace {

constexpr size_t kHeadStep = 16 * 1024;
constexpr char kTlsHandshakeByte = 0x16;
constexpr Millis kCloseDeadline{1000};

int CountField(const Headers& headers, std::string_view name) {
  int count = 0;
  for (const auto& field : headers) count += EqualsIgnoreCase(field.first, name) ? 1 : 0;
  return count;
}

}  // namespace

Connection::Connection(std::shared_ptr<ServerCore> core, Transport::Socket socket, Peer peer,
                       std::shared_ptr<void> lease)
    : core_(std::move(core)),
      lease_(std::move(lease)),
      transport_(std::make_shared<Transport>(std::move(socket))),
      peer_(std::move(peer)) {}

Connection::~Connection() = default;

void Connection::AbandonIfIdle() {
  asio::post(executor(), [self = shared_from_this()] {
    if (self->idle_) self->transport_->Cancel();
    if (self->tunnelling_) self->Abandon();
  });
}

void Connection::Abandon() {
  asio::post(executor(), [self = shared_from_this()] {
    if (self->ended_) return;
    self->abandoned_ = true;
    self->transport_->Abort();
    self->cancellation_.emit(asio::cancellation_type::terminal);
  });
}

asio::awaitable<void> Connection::Run() {
  try {
    co_await Serve();
  } catch (const std::exception& error) {
    // Abandoned: every await throws from then on.
    if (!abandoned_) Log(LogLevel::kError, "connection_failed", {{"error", error.what()}});
  }
  ended_ = true;
}

asio::awaitable<void> Connection::Serve() {
  if (!co_await WaitForRequest()) co_return;
  if (buffer_[0] == kTlsHandshakeByte) {
    std::string host = peer_.local_address.empty() ? core_->options.unix_host : peer_.local_address;
    if (!co_await BecomeTls(std::move(host))) co_return;
  }
  while (co_await WaitForRequest()) {
    request_id_ = RandomUuid();
    MessageParser parser(MessageParser::Kind::kRequest, core_->options.header_bytes);
    auto head = co_await ReadHead(parser);
    Next next = Next::kClose;
    if (head) {
      next = co_await Answer(std::move(parser));
    } else {
      next = co_await Refuse(std::move(head).error());
    }
    if (next == Next::kClose) break;
  }
  co_await transport_->ShutdownWrite(kCloseDeadline);
}

asio::awaitable<bool> Connection::BecomeTls(std::string default_host) {
  if (core_->options.authority == nullptr) {
    co_await Refuse({400, "This server does not speak TLS; use http://."});
    co_return false;
  }
  transport_->ExpireAfter(core_->options.header_deadline);
  Result<void> done = co_await transport_->StartTls(core_->options.authority->server_context(), std::move(default_host),
                                                    std::exchange(buffer_, {}));
  if (!done) Log(LogLevel::kDebug, "tls_handshake_failed", {{"error", done.error().message}});
  co_return done.has_value();
}

asio::awaitable<bool> Connection::WaitForRequest() {
  // RFC 9112 2.2: an empty line before a request is to be skipped. A few only: more is no HTTP.
  for (int empty_lines = 0; empty_lines < 3; ++empty_lines) {
    while (buffer_.empty()) {
      if (core_->stopping) co_return false;
      buffer_.resize_and_overwrite(kHeadStep, [](char*, size_t size) { return size; });
      idle_ = true;
      transport_->ExpireAfter(core_->options.idle_deadline);
      Result<size_t> got = co_await transport_->ReadSome(buffer_.data(), buffer_.size());
      idle_ = false;
      buffer_.resize(got ? *got : 0);
      if (buffer_.empty()) co_return false;
    }
    if (!buffer_.starts_with("\r\n")) break;
    buffer_.erase(0, 2);
    if (buffer_.empty()) continue;
  }
  co_return true;
}

asio::awaitable<std::expected<void, HttpFailure>> Connection::ReadHead(MessageParser& parser) {
  transport_->ExpireAfter(core_->options.header_deadline);  // for the whole head, however its bytes trickle in
  while (true) {
    auto used = parser.Feed(buffer_);
    if (!used) co_return std::unexpected(std::move(used).error());
    buffer_.erase(0, *used);
    if (parser.head_done()) co_return std::expected<void, HttpFailure>();
    if (*used > 0 && !buffer_.empty()) continue;
    size_t before = buffer_.size();
    buffer_.resize_and_overwrite(before + kHeadStep, [](char*, size_t size) { return size; });
    Result<size_t> got = co_await transport_->ReadSome(buffer_.data() + before, kHeadStep);
    buffer_.resize(before + (got ? *got : 0));
    if (!got && got.error().kind == ErrorKind::kDeadlineExceeded) {
      co_return std::unexpected(HttpFailure{408, "The request's header did not arrive in time."});
    }
    if (!got) co_return std::unexpected(HttpFailure{0, {}});
    if (*got == 0) co_return std::unexpected(HttpFailure{400, "The request ended within its header."});
  }
}

std::expected<Connection::Incoming, HttpFailure> Connection::Interpret(MessageHead& head) const {
  Result<Target> target = ParseTarget(head.target);
  if (!target) return std::unexpected(HttpFailure{400, target.error().message});
  int hosts = CountField(head.headers, "Host");
  if (hosts > 1 || (hosts == 0 && head.minor_version >= 1)) {
    return std::unexpected(HttpFailure{400, "An HTTP/1.1 request has one Host field."});
  }
  std::string_view host = head.headers.Get("Host");
  std::optional<HostPort> authority = target->authority;
  if (!authority && !host.empty()) {
    authority = ParseAuthority(host, 80);
    if (!authority) return std::unexpected(HttpFailure{400, "The Host field is not a valid host name."});
  }
  std::string_view expect = head.headers.Get("Expect");
  if (!expect.empty() && !EqualsIgnoreCase(expect, "100-continue")) {
    return std::unexpected(HttpFailure{417, "The only expectation understood is '100-continue'."});
  }
  Incoming incoming{.keep_alive = head.keep_alive, .minor_version = head.minor_version};
  Request& request = incoming.request;
  request.method = std::move(head.method);
  request.target = target->target;
  request.path = target->path;
  request.query = target->query;
  request.headers = std::move(head.headers);
  request.host = authority ? authority->host : std::string();
  request.tls = transport_->tls();
  request.local = peer_.local;
  request.request_id = request_id_;
  incoming.target = *std::move(target);
  return incoming;
}

asio::awaitable<Connection::Next> Connection::Answer(MessageParser parser) {
  if (parser.head().method == "CONNECT") co_return co_await HandleConnect(parser.head());
  auto incoming = Interpret(parser.head());
  if (!incoming) co_return co_await Refuse(std::move(incoming).error());
  MessageBody body(*transport_, buffer_, std::move(parser), core_->options.stall_deadline, false);
  if (incoming->minor_version >= 1 && incoming->request.headers.Has("Expect")) body.ExpectContinue();
  co_return co_await Dispatch(*std::move(incoming), body);
}

asio::awaitable<Connection::Next> Connection::Dispatch(Incoming incoming, MessageBody& body) {
  const std::optional<HostPort>& authority = incoming.target.authority;
  if (authority && !transport_->tls() && !IsSelf(*authority)) {
    ProxyDecision decision = Decide(*authority);
    if (decision.action == ProxyDecision::Action::kRefuse) co_return co_await Refuse({403, decision.reason});
    if (decision.action == ProxyDecision::Action::kTunnel) {
      co_return co_await Forward(std::move(incoming), std::move(decision), body);
    }
  }
  Request& request = incoming.request;
  request.body = &body;
  request.peer_gone = [transport = transport_] { return transport->PeerGone(); };
  int64_t began_ms = MonotonicMs();
  Response response = co_await CallHandler(request);
  const auto* stream = std::get_if<StreamBody>(&response.body);
  bool ends_by_close = stream != nullptr && !stream->reader->length() && incoming.minor_version == 0;
  bool too_much_left = body.left().value_or(0) > core_->options.drain_bytes;
  bool keep_alive = incoming.keep_alive && !core_->stopping && !body.continue_owed() && !body.failed() &&
                    !too_much_left && !ends_by_close;
  ResponseFraming framing{.head_request = request.method == "HEAD",
                          .keep_alive = keep_alive,
                          .minor_version = incoming.minor_version,
                          .request_id = request.request_id};
  Result<void> sent =
      co_await SendResponse(*transport_, core_->runtime, response, framing, core_->options.stall_deadline);
  if (LogEnabled(LogLevel::kDebug)) {
    // The path only: queries hold presigned signatures.
    Log(LogLevel::kDebug, "http_request",
        {{"method", request.method},
         {"host", request.host},
         {"path", request.path},
         {"status", response.status},
         {"ms", MonotonicMs() - began_ms},
         {"request_id", request.request_id},
         {"sent", sent.has_value()}});
  }
  if (!sent) co_return Next::kClose;
  co_return co_await FinishBody(body, keep_alive);
}

asio::awaitable<Response> Connection::CallHandler(Request& request) {
  std::string failure;
  try {
    co_return co_await core_->handler(request);
  } catch (const std::exception& error) {
    if (abandoned_) throw;
    failure = error.what();
  }
  Log(LogLevel::kError, "handler_threw",
      {{"error", failure}, {"method", request.method}, {"path", request.path}, {"request_id", request.request_id}});
  Response response{.status = 500};
  response.headers.Add("Content-Type", "text/plain; charset=utf-8");
  response.body =
      "The engine failed at this request; its log has an entry for request id " + request.request_id + ".\n";
  co_return response;
}

asio::awaitable<Connection::Next> Connection::FinishBody(MessageBody& body, bool keep_alive) {
  if (keep_alive && co_await body.Drain(core_->options.drain_bytes)) co_return Next::kKeepAlive;
  if (!body.finished() && !body.failed()) co_await Linger();
  co_return Next::kClose;
}

// Closing a socket that has unread input resets the connection, and the client may lose an answer that it has not read
// yet. So: end our side, then read and drop until the client ends its own.
asio::awaitable<void> Connection::Linger() {
  if (!transport_->tls()) co_await transport_->ShutdownWrite(kCloseDeadline);
  transport_->ExpireAfter(core_->options.linger_deadline);
  std::string dropped(64 * 1024, '\0');
  while (true) {
    Result<size_t> got = co_await transport_->ReadSome(dropped.data(), dropped.size());
    if (!got || *got == 0) co_return;
  }
}

asio::awaitable<Connection::Next> Connection::Refuse(HttpFailure failure) {
  if (failure.status == 0) co_return Next::kClose;
  Log(LogLevel::kDebug, "http_refused", {{"status", failure.status}, {"reason", failure.text}});
  std::string answer = PlainErrorResponse(failure.status, failure.text, request_id_);
  Result<void> sent = co_await transport_->Write(answer, {}, core_->options.linger_deadline);
  buffer_.clear();
  if (sent) co_await Linger();
  co_return Next::kClose;
}

}  // namespace sagebrush::http
