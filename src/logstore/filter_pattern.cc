#include "logstore/filter_pattern.h"

#include <algorithm>

namespace sagebrush::logstore {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

Error Invalid(std::string message) { return InvalidArgument(std::move(message), "InvalidParameterException"); }

Error NotSupported(std::string_view form) {
  return Invalid("Invalid filter pattern: " + std::string(form) +
                 " are not supported by Sagebrush; use a text pattern of terms, \"quoted phrases\", -excluded and "
                 "?optional terms.");
}

// Takes one bare or quoted term off the front of `rest`, which is not empty and does not begin with a space.
Result<std::string> TakeTerm(std::string_view& rest) {
  std::string term;
  if (rest[0] != '"') {
    size_t end = std::min(rest.find_first_of(kSpace), rest.size());
    term = rest.substr(0, end);
    rest.remove_prefix(end);
    return term;
  }
  for (size_t i = 1; i < rest.size(); ++i) {
    if (rest[i] == '"') {
      rest.remove_prefix(i + 1);
      return term;
    }
    if (rest[i] == '\\' && i + 1 < rest.size()) ++i;
    term += rest[i];
  }
  return Fail(Invalid("Invalid filter pattern: a quoted phrase does not end; add the closing \"."));
}

}  // namespace

Result<FilterPattern> FilterPattern::Parse(std::string_view pattern) {
  FilterPattern parsed;
  std::string_view rest = pattern;
  rest.remove_prefix(std::min(rest.find_first_not_of(kSpace), rest.size()));
  if (rest.starts_with('{')) return Fail(NotSupported("JSON patterns ({ … })"));
  if (rest.starts_with('[')) return Fail(NotSupported("space-delimited patterns ([ … ])"));
  while (!rest.empty()) {
    std::vector<std::string>* list = &parsed.required_;
    if (rest[0] == '-' || rest[0] == '?') {
      list = rest[0] == '-' ? &parsed.excluded_ : &parsed.optional_;
      rest.remove_prefix(1);
      if (rest.empty() || kSpace.contains(rest[0])) {
        return Fail(Invalid("Invalid filter pattern: - and ? stand before a term; quote them to search for them."));
      }
    }
    if (rest.size() > 1 && rest[0] == '%' && rest.find('%', 1) != std::string_view::npos) {
      return Fail(NotSupported("regular expressions (%…%)"));
    }
    TRY(std::string term, TakeTerm(rest));
    if (!term.empty()) list->push_back(std::move(term));
    rest.remove_prefix(std::min(rest.find_first_not_of(kSpace), rest.size()));
  }
  if (!parsed.required_.empty() || !parsed.excluded_.empty()) parsed.optional_.clear();
  return parsed;
}

bool FilterPattern::Matches(std::string_view message) const {
  auto is_there = [message](const std::string& term) { return message.find(term) != std::string_view::npos; };
  return std::ranges::all_of(required_, is_there) && std::ranges::none_of(excluded_, is_there) &&
         (optional_.empty() || std::ranges::any_of(optional_, is_there));
}

}  // namespace sagebrush::logstore
