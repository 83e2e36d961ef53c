#include "serving/codec/json_print.h"

#include "serving/codec/float_text.h"

namespace sagebrush::serving {

void AppendJsonString(std::string_view value, std::string& to) {
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  to += '"';
  size_t plain = 0;
  for (size_t at = 0; at < value.size(); ++at) {
    auto byte = static_cast<uint8_t>(value[at]);
    if (byte >= 0x20 && byte != '"' && byte != '\\') continue;
    to += value.substr(plain, at - plain);
    plain = at + 1;
    static constexpr std::string_view kFrom = "\"\\\b\f\n\r\t", kTo = "\"\\bfnrt";
    size_t which = kFrom.find(value[at]);
    if (which != std::string_view::npos) {
      to += '\\';
      to += kTo[which];
    } else {
      to += "\\u00";
      to += kHex[byte >> 4];
      to += kHex[byte & 15];
    }
  }
  to += value.substr(plain);
  to += '"';
}

void PrettyWriter::NewLine() {
  out_ += '\n';
  out_.append(levels_.size() * indent_, ' ');
}

// What stands before a value or a key.
void PrettyWriter::Prefix() {
  if (levels_.empty()) return;
  Level& level = levels_.back();
  if (level.in_array) {
    if (level.count > 0) out_ += single_line_ ? ", " : ",";
    if (!single_line_) NewLine();
  } else if (level.count % 2 == 1) {
    out_ += ": ";
  } else {
    if (level.count > 0) out_ += ',';
    NewLine();
  }
  ++level.count;
}

void PrettyWriter::Start(char bracket, bool array) {
  Prefix();
  levels_.push_back({.in_array = array, .count = 0});
  out_ += bracket;
}

void PrettyWriter::End(char bracket, bool breaks) {
  bool empty = levels_.back().count == 0;
  levels_.pop_back();
  if (!empty && breaks) NewLine();
  out_ += bracket;
}

void PrettyWriter::String(std::string_view value) {
  Prefix();
  AppendJsonString(value, out_);
}

void PrettyWriter::Raw(std::string_view json) {
  Prefix();
  out_ += json;
}

void PrettyWriter::Number(float value) {
  Prefix();
  AppendNumber(value, out_);
}

void PrettyWriter::Number(double value) {
  Prefix();
  AppendNumber(value, out_);
}

}  // namespace sagebrush::serving
