#include "driver/sandbox/login_environment.h"

#include <algorithm>

#include "base/text.h"

namespace sagebrush::driver {
namespace {

bool IsName(std::string_view name) {
  return !name.empty() && (name[0] < '0' || name[0] > '9') && std::ranges::all_of(name, [](char c) {
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  });
}

std::string_view Unquoted(std::string_view value) {
  bool quoted = value.size() >= 2 && (value.front() == '"' || value.front() == '\'') && value.back() == value.front();
  return quoted ? value.substr(1, value.size() - 2) : value;
}

}  // namespace

std::vector<std::string> LoginEnvironment(std::vector<std::string> variables, std::string_view text) {
  for (std::string_view line : Split(text, '\n')) {
    line = Trim(line);
    if (line.starts_with("export ")) line = Trim(line.substr(7));
    size_t equals = line.find('=');
    if (equals == std::string_view::npos || !IsName(line.substr(0, equals))) continue;
    std::string assignment(line.substr(0, equals + 1));
    auto known = std::ranges::find_if(variables, [&](const std::string& v) { return v.starts_with(assignment); });
    std::string& place = known != variables.end() ? *known : variables.emplace_back();
    place = assignment + std::string(Unquoted(line.substr(equals + 1)));
  }
  return variables;
}

}  // namespace sagebrush::driver
