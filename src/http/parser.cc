#include "http/parser.h"

#include <boost/beast/http/basic_parser.hpp>
#include <cctype>
#include <utility>
#include <variant>

#include "base/text.h"

namespace sagebrush::http {
namespace {

namespace beast = boost::beast;
using beast::error_code;
using BeastView = beast::string_view;

std::string Text(BeastView view) { return std::string(view.data(), view.size()); }

// Collects into a MessageHead what Beast recognises, in order of arrival and with names as sent.
template <bool kIsRequest>
class Collector final : public beast::http::basic_parser<kIsRequest> {
 public:
  MessageHead head;
  std::string body;

 private:
  void on_request_impl(beast::http::verb, BeastView method, BeastView target, int version, error_code&) override {
    head.method = Text(method);
    head.target = Text(target);
    head.minor_version = version % 10;
  }
  void on_response_impl(int code, BeastView reason, int version, error_code&) override {
    head.status = code;
    head.reason = Text(reason);
    head.minor_version = version % 10;
  }
  void on_field_impl(beast::http::field, BeastView name, BeastView value, error_code&) override {
    // Trailers of a chunked body arrive here too; nothing uses them.
    if (!this->is_header_done()) head.headers.Add(Text(name), Text(value));
  }
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(const boost::optional<uint64_t>&, error_code&) override {}
  size_t on_body_impl(BeastView data, error_code&) override {
    body.append(data.data(), data.size());
    return data.size();
  }
  void on_chunk_header_impl(uint64_t, BeastView, error_code&) override {}
  size_t on_chunk_body_impl(uint64_t, BeastView data, error_code&) override {
    body.append(data.data(), data.size());
    return data.size();
  }
  void on_finish_impl(error_code&) override {}
};

HttpFailure Describe(error_code ec) {
  using beast::http::error;
  if (ec == error::header_limit) return {431, "The request's header fields are larger than this server allows."};
  if (ec == error::bad_version) return {505, "Only HTTP/1.0 and HTTP/1.1 are spoken here."};
  if (ec == error::bad_transfer_encoding) {
    return {400, "Transfer-Encoding is repeated or stands beside Content-Length, which leaves the body's end unclear."};
  }
  if (ec == error::bad_content_length || ec == error::multiple_content_length) {
    return {400, "Content-Length is not one whole number, or stands beside Transfer-Encoding."};
  }
  if (ec == error::bad_chunk || ec == error::bad_chunk_extension) return {400, "The chunked body is malformed."};
  return {400, "The message is not well-formed HTTP (" + ec.message() + ")."};
}

// Whether a request line ends with "HTTP/<digit>.<digit>", so that its version is unknown rather than malformed.
bool NamesAVersion(std::string_view start) {
  std::string_view line = start.substr(0, start.find("\r\n"));
  if (line.size() < 8) return false;
  std::string_view version = line.substr(line.size() - 8);
  return version.starts_with("HTTP/") && std::isdigit(static_cast<unsigned char>(version[5])) != 0 &&
         version[6] == '.' && std::isdigit(static_cast<unsigned char>(version[7])) != 0;
}

// What Beast leaves open once a head is complete.
template <class C>
std::expected<size_t, HttpFailure> FinishHead(C& collector, size_t used) {
  MessageHead& head = collector.head;
  head.keep_alive = collector.keep_alive();
  head.chunked = collector.chunked();
  if (auto length = collector.content_length()) head.content_length = *length;
  const std::string* encoding = head.headers.Find("Transfer-Encoding");
  if (encoding == nullptr) return used;
  if (!EqualsIgnoreCase(Trim(*encoding), "chunked")) {
    return std::unexpected(HttpFailure{501, "Transfer-Encoding '" + ReplaceInvalidUtf8(encoding->substr(0, 100)) +
                                                "' is not supported; use 'chunked'."});
  }
  if (head.minor_version == 0) return std::unexpected(HttpFailure{400, "HTTP/1.0 has no Transfer-Encoding."});
  return used;
}

}  // namespace

class MessageParser::Impl {
 public:
  template <class F>
  auto Visit(F f) {
    if (auto* request = std::get_if<Collector<true>>(&collector_)) return f(*request);
    return f(std::get<Collector<false>>(collector_));
  }

  Impl(Kind kind, size_t header_limit) : header_limit_(header_limit) {
    if (kind == Kind::kRequest) {
      collector_.emplace<Collector<true>>();
    } else {
      collector_.emplace<Collector<false>>();
    }
    Visit([this](auto& collector) {
      collector.header_limit(static_cast<uint32_t>(header_limit_));
      collector.body_limit(boost::none);
      collector.eager(false);
      return 0;
    });
  }

  std::expected<size_t, HttpFailure> Feed(std::string_view data) {
    return Visit([&](auto& collector) -> std::expected<size_t, HttpFailure> {
      bool in_head = !collector.is_header_done();
      error_code ec;
      size_t used = data.empty() || collector.is_done() ? 0 : collector.put({data.data(), data.size()}, ec);
      if (ec == beast::http::error::bad_version && !NamesAVersion(data)) ec = beast::http::error::bad_value;
      if (ec && ec != beast::http::error::need_more) return std::unexpected(Describe(ec));
      if (in_head) {
        head_bytes_ += used;
        size_t waiting = collector.is_header_done() ? 0 : data.size() - used;
        if (head_bytes_ + waiting > header_limit_) return std::unexpected(Describe(beast::http::error::header_limit));
        if (collector.is_header_done()) return FinishHead(collector, used);
      }
      return used;
    });
  }

  bool head_done() {
    return Visit([](auto& collector) { return collector.is_header_done(); });
  }
  bool body_done() {
    return Visit([](auto& collector) { return collector.is_done(); });
  }
  MessageHead& head() {
    return *Visit([](auto& collector) { return &collector.head; });
  }
  std::string TakeBody() {
    return Visit([](auto& collector) { return std::exchange(collector.body, {}); });
  }

 private:
  size_t header_limit_, head_bytes_ = 0;
  std::variant<std::monostate, Collector<true>, Collector<false>> collector_;
};

MessageParser::MessageParser(Kind kind, size_t header_limit) : impl_(std::make_unique<Impl>(kind, header_limit)) {}
MessageParser::~MessageParser() = default;
MessageParser::MessageParser(MessageParser&&) noexcept = default;
MessageParser& MessageParser::operator=(MessageParser&&) noexcept = default;
std::expected<size_t, HttpFailure> MessageParser::Feed(std::string_view data) { return impl_->Feed(data); }
bool MessageParser::head_done() const { return impl_->head_done(); }
bool MessageParser::body_done() const { return impl_->body_done(); }
MessageHead& MessageParser::head() { return impl_->head(); }
std::string MessageParser::TakeBody() { return impl_->TakeBody(); }

}  // namespace sagebrush::http
