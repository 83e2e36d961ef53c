#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sagebrush::logstore {

// A CloudWatch Logs filter pattern for unstructured text. Terms are case-sensitive parts of the message: every plain
// term must be there, no -term may, and of ?terms at least one must. As on the hosted service, ?terms count only when
// they stand alone: beside plain or excluded terms they are ignored. A term with spaces or quotes is "quoted", with
// \" and \\ inside. The empty pattern matches everything.
class FilterPattern {
 public:
  // InvalidParameterException for JSON ({ … }), space-delimited ([ … ]) and regular-expression (%…%) patterns, which
  // are refused by name, and for an unfinished quote.
  static Result<FilterPattern> Parse(std::string_view pattern);
  bool Matches(std::string_view message) const;

 private:
  std::vector<std::string> required_, excluded_, optional_;
};

}  // namespace sagebrush::logstore
