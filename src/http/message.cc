#include "http/message.h"

#include "base/text.h"

namespace sagebrush::http {

void Headers::Set(std::string_view name, std::string value) {
  std::erase_if(fields_, [name](const auto& field) { return EqualsIgnoreCase(field.first, name); });
  fields_.emplace_back(std::string(name), std::move(value));
}

const std::string* Headers::Find(std::string_view name) const {
  for (const auto& [field, value] : fields_) {
    if (EqualsIgnoreCase(field, name)) return &value;
  }
  return nullptr;
}

std::string_view Headers::Get(std::string_view name) const {
  const std::string* value = Find(name);
  return value == nullptr ? std::string_view() : std::string_view(*value);
}

const std::string* Request::QueryValue(std::string_view name) const {
  for (const auto& [key, value] : query) {
    if (key == name) return &value;
  }
  return nullptr;
}

asio::awaitable<Result<std::string>> ReadAll(BodyReader& body, size_t limit) {
  auto too_large = [limit] {
    return Fail(Error(ErrorKind::kResourceExhausted,
                      "the request body is larger than the " + std::to_string(limit) + " bytes allowed here"));
  };
  std::optional<uint64_t> length = body.length();
  if (length && *length > limit) co_return too_large();
  std::string content;
  if (length) content.reserve(*length);
  while (true) {
    // One byte beyond the limit is asked for, so that a body of exactly `limit` bytes is seen to end.
    Result<std::string> piece = co_await body.Read(std::min<size_t>(limit - content.size() + 1, 256 * 1024));
    if (!piece) co_return Fail(std::move(piece).error());
    if (piece->empty()) co_return content;
    if (content.size() + piece->size() > limit) co_return too_large();
    content += *piece;
  }
}

}  // namespace sagebrush::http
