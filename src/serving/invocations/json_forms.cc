#include "serving/invocations/json_forms.h"

#include <algorithm>

namespace sagebrush::serving {
namespace {

bool IsSpace(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

// The position of the first character from `at` on that is no white space; the size when there is none.
size_t SkipSpace(std::string_view text, size_t at) {
  while (at < text.size() && IsSpace(text[at])) ++at;
  return at;
}

// The position behind the string that begins at `at`; npos when it does not end.
size_t SkipString(std::string_view text, size_t at) {
  for (++at; at < text.size(); ++at) {
    if (text[at] == '\\') {
      ++at;
    } else if (text[at] == '"') {
      return at + 1;
    }
  }
  return std::string_view::npos;
}

// The position behind the list or object that begins at `at`; npos when it does not end.
size_t SkipBrackets(std::string_view text, size_t at) {
  size_t depth = 0;
  while (at < text.size()) {
    at = text.find_first_of("[]{}\"", at);
    if (at == std::string_view::npos) return at;
    if (text[at] == '"') {
      at = SkipString(text, at);
      continue;
    }
    if (text[at] == '[' || text[at] == '{') {
      ++depth;
    } else if (--depth == 0) {
      return at + 1;
    }
    ++at;
  }
  return std::string_view::npos;
}

// "name" followed by a colon, anywhere.
bool HasKey(std::string_view body, std::string_view quoted_name) {
  for (size_t at = body.find(quoted_name); at != std::string_view::npos; at = body.find(quoted_name, at + 1)) {
    size_t next = SkipSpace(body, at + quoted_name.size());
    if (next < body.size() && body[next] == ':') return true;
  }
  return false;
}

// The position behind the JSON text that begins at `at`; npos when it does not end.
size_t SkipText(std::string_view body, size_t at) {
  if (body[at] == '[' || body[at] == '{') return SkipBrackets(body, at);
  if (body[at] == '"') return SkipString(body, at);
  return std::min(body.find_first_of(" \n\r\t[]{}\",:", at), body.size());
}

}  // namespace

BodyForm FormOfInvocation(std::string_view body) {
  for (std::string_view key : {"\"instances\"", "\"inputs\"", "\"examples\""}) {
    if (HasKey(body, key)) return BodyForm::kServing;
  }
  size_t begin = SkipSpace(body, body.starts_with("\xEF\xBB\xBF") ? 3 : 0);
  if (begin == body.size()) return BodyForm::kInstance;
  size_t end = SkipText(body, begin);
  if (end != std::string_view::npos && SkipSpace(body, end) < body.size()) return BodyForm::kLines;
  size_t second = SkipSpace(body, begin + 1);
  bool list_of_lists = body[begin] == '[' && second < body.size() && body[second] == '[';
  return list_of_lists ? BodyForm::kInstances : BodyForm::kInstance;
}

}  // namespace sagebrush::serving
