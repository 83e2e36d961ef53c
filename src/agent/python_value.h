#pragma once

#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace sagebrush::agent {

// A JSON value as Python's json module reads it and as Python prints it again: the training toolkit's contract with
// scripts (arguments, SM_* variables) is in those texts, to the byte. Integers keep their digits, whatever their size.
class PythonValue {
 public:
  using List = std::vector<PythonValue>;
  using Dict = std::map<std::string, PythonValue>;  // json.dumps(sort_keys=True)
  struct Integer {
    std::string digits;
  };

  PythonValue() = default;
  PythonValue(bool value) : value_(value) {}
  PythonValue(int value) : value_(Integer{std::to_string(value)}) {}
  PythonValue(double value) : value_(value) {}
  PythonValue(const char* text) : value_(std::string(text)) {}
  PythonValue(std::string text) : value_(std::move(text)) {}
  PythonValue(Integer value) : value_(std::move(value)) {}
  PythonValue(List list) : value_(std::move(list)) {}
  PythonValue(Dict dict) : value_(std::move(dict)) {}

  static Result<PythonValue> Parse(std::string_view json);

  std::string Dumps() const;  // json.dumps(value, sort_keys=True, separators=(",", ":"))
  std::string Str() const;    // str(value), None as ""
  std::string Repr() const;   // repr(value)

  const std::string* text() const { return std::get_if<std::string>(&value_); }
  const List* list() const { return std::get_if<List>(&value_); }
  const Dict* dict() const { return std::get_if<Dict>(&value_); }
  bool is_none() const { return std::holds_alternative<std::monostate>(value_); }
  bool is_true() const { return std::holds_alternative<bool>(value_) && std::get<bool>(value_); }

 private:
  std::variant<std::monostate, bool, Integer, double, std::string, List, Dict> value_;
};

std::string PythonFloat(double value);  // repr(float)

}  // namespace sagebrush::agent
