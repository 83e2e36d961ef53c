#include "logstore/page_token.h"

#include "base/text.h"

namespace sagebrush::logstore {

std::string EncodeToken(std::string_view kind, std::initializer_list<std::string> fields) {
  std::string text(kind);
  for (const std::string& field : fields) text += "\n" + field;
  return Base64Encode(text);
}

Result<std::vector<std::string>> DecodeToken(std::string_view kind, size_t fields, std::string_view token) {
  std::optional<std::string> text = Base64Decode(token);
  if (!text || !text->starts_with(std::string(kind) + "\n")) return Fail(InvalidToken());
  std::string_view rest = std::string_view(*text).substr(kind.size() + 1);
  std::vector<std::string> found;
  while (found.size() + 1 < fields) {
    size_t end = rest.find('\n');
    if (end == std::string_view::npos) return Fail(InvalidToken());
    found.emplace_back(rest.substr(0, end));
    rest.remove_prefix(end + 1);
  }
  found.emplace_back(rest);
  return found;
}

Error InvalidToken() { return InvalidArgument("The specified nextToken is invalid.", "InvalidParameterException"); }

}  // namespace sagebrush::logstore
