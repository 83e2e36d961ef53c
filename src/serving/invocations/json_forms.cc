#include "serving/invocations/json_forms.h"

#include <algorithm>
#include <cstring>

namespace sagebrush::serving {
namespace {

bool IsSpace(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

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

Fail BadJson(size_t at, std::string_view what) {
  return Fail(InvalidArgument("JSON Parse error: " + std::string(what) + " at offset: " + std::to_string(at)));
}

// "name" followed by a colon, anywhere.
bool HasKey(std::string_view body, std::string_view quoted_name) {
  for (size_t at = body.find(quoted_name); at != std::string_view::npos; at = body.find(quoted_name, at + 1)) {
    size_t next = at + quoted_name.size();
    while (next < body.size() && IsSpace(body[next])) ++next;
    if (next < body.size() && body[next] == ':') return true;
  }
  return false;
}

bool IsListOfLists(std::string_view text) {
  if (text.front() != '[') return false;
  size_t next = 1;
  while (next < text.size() && IsSpace(text[next])) ++next;
  return next < text.size() && text[next] == '[';
}

}  // namespace

Result<std::vector<std::string_view>> SplitJsonTexts(std::string_view body) {
  std::vector<std::string_view> texts;
  for (size_t at = 0; at < body.size();) {
    if (IsSpace(body[at])) {
      ++at;
      continue;
    }
    size_t end = at;
    if (body[at] == '[' || body[at] == '{') {
      end = SkipBrackets(body, at);
    } else if (body[at] == '"') {
      end = SkipString(body, at);
    } else {
      end = std::min(body.find_first_of(" \n\r\t[]{}\",:", at), body.size());
      if (end == at) return BadJson(at, std::string("Unexpected '") + body[at] + "'");
    }
    if (end == std::string_view::npos) return BadJson(at, "The value that begins here has no end, begun");
    texts.push_back(body.substr(at, end - at));
    at = end;
  }
  if (texts.empty()) return Fail(InvalidArgument("JSON Parse error: The document is empty"));
  return texts;
}

Result<std::string> ToServingJson(std::string body) {
  if (HasKey(body, "\"instances\"") || HasKey(body, "\"inputs\"") || HasKey(body, "\"examples\"")) return body;
  TRY(std::vector<std::string_view> texts, SplitJsonTexts(body));
  std::string serving = "{\"instances\":";
  serving.reserve(body.size() + 16);
  if (texts.size() == 1 && IsListOfLists(texts[0])) {
    serving += texts[0];
  } else {
    char separator = '[';
    for (std::string_view text : texts) {
      serving += separator;
      serving += text;
      separator = ',';
    }
    serving += ']';
  }
  serving += '}';
  return serving;
}

}  // namespace sagebrush::serving
