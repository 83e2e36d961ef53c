#pragma once

#include <array>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>

#include "serving/codec/json_digits.h"
#include "serving/codec/json_number.h"

namespace sagebrush::serving {

// How deep lists and objects may nest. TensorFlow's tensors have at most 254 dimensions.
inline constexpr size_t kMostJsonLevels = 256;

// A cursor over JSON text, as TensorFlow Serving's parser (RapidJSON with NaN and Infinity) takes it. Every Scan…
// function returns false for text that is none of that, and fault() and offset() then tell in RapidJSON's words what is
// wrong and where. The text outlives the scanner.
class JsonScanner {
 public:
  explicit JsonScanner(std::string_view text) : begin_(text.data()), at_(begin_), end_(begin_ + text.size()) {}

  size_t offset() const { return static_cast<size_t>(at_ - begin_); }
  void MoveTo(size_t offset) { at_ = begin_ + offset; }
  std::string_view TextFrom(size_t from) const { return {begin_ + from, offset() - from}; }
  const std::string& fault() const { return fault_; }
  // "JSON Parse error: Invalid value. at offset: 7".
  std::string FaultText() const;

  void SkipSpace() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
  }
  // The next character; '\0' at the end.
  char Peek() const { return at_ == end_ ? '\0' : *at_; }
  bool AtEnd() const { return at_ == end_; }
  // Whether the next character is that one, which is then behind us.
  bool Take(char c) {
    if (at_ == end_ || *at_ != c) return false;
    ++at_;
    return true;
  }

  bool ScanNumber(JsonNumber& number);
  // The same for the numbers that most rows are made of: short ones, such as 255, -3.25 or 0.1234567, whose nearest
  // float takes one division. False, with nothing taken, for every other text.
  bool TakeShortFloat(float& value);
  // A string, from its opening quotation mark; its text with escapes undone is appended to `to`, unless that is null.
  bool ScanString(std::string* to);
  bool ScanWord(std::string_view word);  // true, false, null
  bool Fail(std::string_view fault) { return FailAt(offset(), fault); }
  bool FailAt(size_t offset, std::string_view fault);

 private:
  static constexpr ptrdiff_t kLongestShortFloat = 24;  // and what stands behind it

  static bool IsDigit(char c) { return c >= '0' && c <= '9'; }
  size_t Digits(JsonNumber& number);
  bool ScanFraction(JsonNumber& number);
  bool ScanExponent(JsonNumber& number);
  bool ScanSpecial(JsonNumber& number);
  bool ScanEscape(std::string* to);
  bool ScanHex(size_t escape, uint32_t& code);
  bool ScanUnicode(size_t escape, std::string* to);

  const char* begin_;
  const char* at_;
  const char* end_;
  std::string fault_;
};

inline bool JsonScanner::TakeShortFloat(float& value) {
  constexpr uint64_t kExactInFloat = uint64_t{1} << 24;
  constexpr std::array<float, 8> kPowers{1e0F, 1e1F, 1e2F, 1e3F, 1e4F, 1e5F, 1e6F, 1e7F};
  if (end_ - at_ < kLongestShortFloat) return false;
  const char* at = at_;
  bool negative = *at == '-';
  at += negative ? 1 : 0;
  uint64_t eight = 0;
  std::memcpy(&eight, at, sizeof eight);
  size_t whole = json_digits::Leading(eight), decimals = 0;
  if (whole == 0 || whole == 8 || (*at == '0' && whole > 1)) return false;
  uint64_t digits = json_digits::Value(eight, whole);
  at += whole;
  if (*at == '.') {
    std::memcpy(&eight, ++at, sizeof eight);
    decimals = json_digits::Leading(eight);
    if (decimals == 0 || decimals == 8) return false;
    digits = digits * json_digits::kPowersOfTen[decimals] + json_digits::Value(eight, decimals);
    at += decimals;
  }
  if (digits > kExactInFloat || (*at | 0x20) == 'e') return false;
  float size = static_cast<float>(digits) / kPowers[decimals];
  value = negative ? -size : size;
  at_ = at;
  return true;
}

}  // namespace sagebrush::serving
