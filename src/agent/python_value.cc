#include "agent/python_value.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>

namespace sagebrush::agent {
namespace {

constexpr int kMaxDepth = 200;

void AppendUtf8(std::string& out, uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | code >> 18);
    out += static_cast<char>(0x80 | (code >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

// The next code point of valid UTF-8.
uint32_t NextCode(std::string_view text, size_t& at) {
  auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  uint32_t first = byte(at);
  int more = first < 0xC0 ? 0 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
  uint32_t code = more == 0 ? first : first & (0x3F >> more);
  for (int i = 1; i <= more; ++i) code = code << 6 | (byte(at + static_cast<size_t>(i)) & 0x3F);
  at += static_cast<size_t>(more) + 1;
  return code;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<PythonValue> Document() {
    TRY(PythonValue value, Value(0));
    Skip();
    if (at_ != text_.size()) return Fail(Bad());
    return value;
  }

 private:
  Error Bad() const { return InvalidArgument("This is no JSON: character " + std::to_string(at_) + " is unexpected."); }
  void Skip() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) {
      ++at_;
    }
  }
  bool Take(std::string_view word) {
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }

  Result<PythonValue> Value(int depth) {
    if (depth > kMaxDepth) return Fail(InvalidArgument("This JSON is nested too deeply."));
    Skip();
    if (at_ >= text_.size()) return Fail(Bad());
    if (text_[at_] == '{') return Object(depth);
    if (text_[at_] == '[') return Array(depth);
    if (text_[at_] == '"') {
      TRY(std::string text, String());
      return PythonValue(std::move(text));
    }
    if (Take("true")) return PythonValue(true);
    if (Take("false")) return PythonValue(false);
    if (Take("null")) return PythonValue();
    if (Take("NaN")) return PythonValue(std::numeric_limits<double>::quiet_NaN());
    if (Take("Infinity")) return PythonValue(std::numeric_limits<double>::infinity());
    if (Take("-Infinity")) return PythonValue(-std::numeric_limits<double>::infinity());
    return Number();
  }

  size_t Digits() {
    size_t from = at_;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
    return at_ - from;
  }

  Result<PythonValue> Number() {
    size_t from = at_;
    Take("-");
    size_t first = at_, digits = Digits();
    if (digits == 0 || (digits > 1 && text_[first] == '0')) return Fail(Bad());
    bool integer = true;
    if (Take(".")) {
      integer = false;
      if (Digits() == 0) return Fail(Bad());
    }
    if (Take("e") || Take("E")) {
      integer = false;
      if (!Take("+")) Take("-");
      if (Digits() == 0) return Fail(Bad());
    }
    std::string_view token = text_.substr(from, at_ - from);
    if (integer) return PythonValue(PythonValue::Integer{token == "-0" ? "0" : std::string(token)});
    double value = 0;
    auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), value);
    if (error == std::errc::result_out_of_range) value = std::strtod(std::string(token).c_str(), nullptr);
    return PythonValue(value);
  }

  Result<uint32_t> Hex4() {
    uint32_t code = 0;
    if (at_ + 4 > text_.size()) return Fail(Bad());
    auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + at_ + 4, code, 16);
    if (error != std::errc() || end != text_.data() + at_ + 4) return Fail(Bad());
    at_ += 4;
    return code;
  }

  Result<std::string> String() {
    std::string out;
    for (++at_; at_ < text_.size(); ++at_) {
      char c = text_[at_];
      if (c == '"') {
        ++at_;
        return out;
      }
      if (static_cast<unsigned char>(c) < 0x20) return Fail(Bad());
      if (c != '\\') {
        out += c;
        continue;
      }
      if (++at_ >= text_.size()) break;
      static constexpr std::string_view kFrom = "\"\\/bfnrt", kTo = "\"\\/\b\f\n\r\t";
      if (size_t known = kFrom.find(text_[at_]); known != std::string_view::npos) {
        out += kTo[known];
        continue;
      }
      if (text_[at_] != 'u') return Fail(Bad());
      ++at_;
      TRY(uint32_t code, Hex4());
      if (code >= 0xD800 && code < 0xDC00 && text_.substr(at_).starts_with("\\u")) {
        at_ += 2;
        TRY(uint32_t low, Hex4());
        code = low >= 0xDC00 && low < 0xE000 ? 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00) : 0xFFFD;
      } else if (code >= 0xD800 && code < 0xE000) {
        code = 0xFFFD;
      }
      AppendUtf8(out, code);
      --at_;
    }
    return Fail(Bad());
  }

  Result<PythonValue> Array(int depth) {
    PythonValue::List list;
    ++at_;
    Skip();
    if (Take("]")) return PythonValue(std::move(list));
    while (true) {
      TRY(PythonValue item, Value(depth + 1));
      list.push_back(std::move(item));
      Skip();
      if (Take("]")) return PythonValue(std::move(list));
      if (!Take(",")) return Fail(Bad());
    }
  }

  Result<PythonValue> Object(int depth) {
    PythonValue::Dict dict;
    ++at_;
    Skip();
    if (Take("}")) return PythonValue(std::move(dict));
    while (true) {
      Skip();
      if (at_ >= text_.size() || text_[at_] != '"') return Fail(Bad());
      TRY(std::string key, String());
      Skip();
      if (!Take(":")) return Fail(Bad());
      TRY(PythonValue item, Value(depth + 1));
      dict[std::move(key)] = std::move(item);
      Skip();
      if (Take("}")) return PythonValue(std::move(dict));
      if (!Take(",")) return Fail(Bad());
    }
  }

  std::string_view text_;
  size_t at_ = 0;
};

std::string QuoteJson(std::string_view text) {
  std::string out = "\"";
  for (size_t at = 0; at < text.size();) {
    uint32_t code = NextCode(text, at);
    switch (code) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      default:
        if (code >= 0x20 && code < 0x7F) {
          out += static_cast<char>(code);
        } else if (code < 0x10000) {
          out += code == 0x7F ? std::string("\x7f") : fmt::format("\\u{:04x}", code);
        } else {
          code -= 0x10000;
          out += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (code >> 10), 0xDC00 + (code & 0x3FF));
        }
    }
  }
  return out + "\"";
}

std::string ReprText(std::string_view text) {
  char quote = text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string out(1, quote);
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (c == quote || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7F) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out + quote;
}

}  // namespace

std::string PythonFloat(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  std::string text(buffer, end);
  size_t e = text.find('e');
  int exponent = std::stoi(text.substr(e + 1));
  if (exponent < -4 || exponent >= 16) {
    return fmt::format("{}e{}{:02}", text.substr(0, e), exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  auto [fixed_end, fixed_error] = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed);
  std::string fixed(buffer, fixed_end);
  return fixed.find('.') == std::string::npos ? fixed + ".0" : fixed;
}

Result<PythonValue> PythonValue::Parse(std::string_view json) { return Parser(json).Document(); }

std::string PythonValue::Dumps() const {
  struct Visitor {
    std::string operator()(std::monostate) const { return "null"; }
    std::string operator()(bool value) const { return value ? "true" : "false"; }
    std::string operator()(const Integer& value) const { return value.digits; }
    std::string operator()(double value) const {
      if (std::isnan(value)) return "NaN";
      if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
      return PythonFloat(value);
    }
    std::string operator()(const std::string& text) const { return QuoteJson(text); }
    std::string operator()(const List& list) const {
      std::string out = "[";
      for (const PythonValue& item : list) out += (out.size() > 1 ? "," : "") + item.Dumps();
      return out + "]";
    }
    std::string operator()(const Dict& dict) const {
      std::string out = "{";
      for (const auto& [key, item] : dict) out += (out.size() > 1 ? "," : "") + QuoteJson(key) + ":" + item.Dumps();
      return out + "}";
    }
  };
  return std::visit(Visitor(), value_);
}

std::string PythonValue::Str() const {
  if (is_none()) return "";
  if (const std::string* plain = text()) return *plain;
  return Repr();
}

std::string PythonValue::Repr() const {
  struct Visitor {
    std::string operator()(std::monostate) const { return "None"; }
    std::string operator()(bool value) const { return value ? "True" : "False"; }
    std::string operator()(const Integer& value) const { return value.digits; }
    std::string operator()(double value) const { return PythonFloat(value); }
    std::string operator()(const std::string& text) const { return ReprText(text); }
    std::string operator()(const List& list) const {
      std::string out = "[";
      for (const PythonValue& item : list) out += (out.size() > 1 ? ", " : "") + item.Repr();
      return out + "]";
    }
    std::string operator()(const Dict& dict) const {
      std::string out = "{";
      for (const auto& [key, item] : dict) out += (out.size() > 1 ? ", " : "") + ReprText(key) + ": " + item.Repr();
      return out + "}";
    }
  };
  return std::visit(Visitor(), value_);
}

}  // namespace sagebrush::agent
