#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "serving/signature/signature.h"

namespace sagebrush::serving {

// Writes JSON as RapidJSON's PrettyWriter does: indented by four spaces a level, or lists on a single line. The caller
// keeps to JSON's grammar.
class PrettyWriter {
 public:
  explicit PrettyWriter(size_t indent = 4) : indent_(indent) {}
  void StartObject() { Start('{', false); }
  void EndObject() { End('}', true); }
  void StartArray() { Start('[', true); }
  void EndArray() { End(']', !single_line_); }
  void Key(std::string_view key) { String(key); }
  void String(std::string_view value);
  void Raw(std::string_view json);  // a whole scalar
  // As TensorFlow Serving prints them: the shortest form of up to six digits that reads back equal, else 9 or 17
  // digits; ".0" behind whole numbers; NaN, Infinity.
  void Number(float value);
  void Number(double value);
  template <class T>
  void Integer(T value);
  // Lists begun or ended from now on stay on their line.
  void SingleLine(bool single_line) { single_line_ = single_line; }

  void Reserve(size_t bytes) { out_.reserve(bytes); }
  size_t size() const { return out_.size(); }
  std::string Take() { return std::move(out_); }

 private:
  struct Level {
    bool in_array;
    size_t count;
  };

  void Start(char bracket, bool array);
  void End(char bracket, bool breaks);
  void Prefix();
  void NewLine();

  size_t indent_;
  std::string out_;
  std::vector<Level> levels_;
  bool single_line_ = false;
};

template <class T>
void PrettyWriter::Integer(T value) {
  Prefix();
  out_ += std::to_string(value);
}

// A JSON string with its quotation marks. Bytes that are no UTF-8 are written as they are, as TensorFlow Serving does.
void AppendJsonString(std::string_view value, std::string& to);

}  // namespace sagebrush::serving
