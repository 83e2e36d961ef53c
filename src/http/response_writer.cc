#include "http/response_writer.h"

#include <array>
#include <optional>

#include "base/clock.h"
#include "base/text.h"
#include "http/body.h"

namespace sagebrush::http {
namespace {

struct Phrase {
  int status;
  std::string_view text;
};
constexpr Phrase kPhrases[] = {
    {100, "Continue"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {424, "Failed Dependency"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

bool HasNoBody(int status) { return status < 200 || status == 204 || status == 304; }

// Fields that this file decides alone.
bool IsFramingField(std::string_view name) {
  for (std::string_view own :
       {"Content-Length", "Transfer-Encoding", "Connection", "Date", "x-amzn-RequestId", "x-amz-request-id"}) {
    if (EqualsIgnoreCase(name, own)) return true;
  }
  return false;
}

void AppendField(std::string& head, std::string_view name, std::string_view value) {
  head.append(SafeFieldValue(name)).append(": ").append(SafeFieldValue(value)).append("\r\n");
}

// Without a length the body comes in chunks, or (HTTP/1.0) ends with the connection.
std::string FormatHead(const Response& response, const ResponseFraming& framing, std::optional<uint64_t> length) {
  std::string head = "HTTP/1.1 " + std::to_string(response.status) + " ";
  head.append(ReasonPhrase(response.status)).append("\r\n");
  for (const auto& [name, value] : response.headers) {
    if (!IsFramingField(name)) AppendField(head, name, value);
  }
  AppendField(head, "x-amzn-RequestId", framing.request_id);
  AppendField(head, "x-amz-request-id", framing.request_id);
  AppendField(head, "Date", FormatHttpDate(WallClockMs()));
  if (!HasNoBody(response.status)) {
    if (length) AppendField(head, "Content-Length", std::to_string(*length));
    if (!length && framing.minor_version >= 1) AppendField(head, "Transfer-Encoding", "chunked");
  }
  if (!framing.keep_alive) {
    AppendField(head, "Connection", "close");
  } else if (framing.minor_version == 0) {
    AppendField(head, "Connection", "keep-alive");
  }
  return head + "\r\n";
}

}  // namespace

std::string_view ReasonPhrase(int status) {
  for (const Phrase& phrase : kPhrases) {
    if (phrase.status == status) return phrase.text;
  }
  return "Unknown";
}

std::string SafeFieldValue(std::string_view value) {
  std::string safe(value);
  for (char& c : safe) {
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f) c = ' ';
  }
  return safe;
}

std::string PlainErrorResponse(int status, std::string_view text, std::string_view request_id) {
  Response response{.status = status};
  response.headers.Add("Content-Type", "text/plain; charset=utf-8");
  std::string body = std::to_string(status) + " " + std::string(ReasonPhrase(status)) + "\n" + std::string(text) + "\n";
  return FormatHead(response, {.keep_alive = false, .request_id = request_id}, body.size()) + body;
}

asio::awaitable<Result<void>> SendResponse(Transport& transport, io::Runtime& runtime, const Response& response,
                                           ResponseFraming framing, Millis stall) {
  const std::string* text = std::get_if<std::string>(&response.body);
  const FileBody* file = std::get_if<FileBody>(&response.body);
  const StreamBody* stream = std::get_if<StreamBody>(&response.body);
  std::optional<uint64_t> length = text != nullptr   ? text->size()
                                   : file != nullptr ? file->length
                                                     : stream->reader->length();
  if (framing.head_request && response.head_length) length = *response.head_length;
  std::string head = FormatHead(response, framing, length);
  bool bodiless = framing.head_request || HasNoBody(response.status);
  std::string_view inline_body = bodiless || text == nullptr ? std::string_view() : std::string_view(*text);
  CO_TRYV(co_await transport.Write(head, inline_body, stall));
  if (bodiless) co_return Result<void>{};
  if (stream != nullptr) {
    co_return co_await CopyBody(*stream->reader, transport, !length && framing.minor_version >= 1, stall);
  }
  if (file == nullptr || file->length == 0) co_return Result<void>{};
  co_return co_await transport.SendFile(runtime, file->file.get(), file->offset, file->length, stall);
}

}  // namespace sagebrush::http
