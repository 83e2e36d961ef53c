#include "serving/codec/json_scanner.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "serving/codec/json_digits.h"

namespace sagebrush::serving {
namespace {

constexpr int64_t kMostExponent = 1'000'000'000;

void AppendUtf8(uint32_t code, std::string& to) {
  auto tail = [&to, code](unsigned shift) { to += static_cast<char>(0x80 | (code >> shift & 0x3f)); };
  if (code < 0x80) {
    to += static_cast<char>(code);
  } else if (code < 0x800) {
    to += static_cast<char>(0xc0 | code >> 6);
    tail(0);
  } else if (code < 0x10000) {
    to += static_cast<char>(0xe0 | code >> 12);
    tail(6);
    tail(0);
  } else {
    to += static_cast<char>(0xf0 | code >> 18);
    tail(12);
    tail(6);
    tail(0);
  }
}

}  // namespace

std::string JsonScanner::FaultText() const {
  return fmt::format("JSON Parse error: {} at offset: {}", fault_, offset());
}

bool JsonScanner::FailAt(size_t offset, std::string_view fault) {
  MoveTo(offset);
  fault_ = fault;
  return false;
}

// Takes digits as long as there are any. Beyond 19 significant ones they are counted in the exponent alone.
size_t JsonScanner::Digits(JsonNumber& number) {
  const char* from = at_;
  uint64_t digits = number.digits;
  while (end_ - at_ >= 8 && digits < 10'000'000'000U) {
    uint64_t eight = 0;
    std::memcpy(&eight, at_, sizeof eight);
    size_t count = json_digits::Leading(eight);
    if (count > 0) digits = digits * json_digits::kPowersOfTen[count] + json_digits::Value(eight, count);
    at_ += count;
    if (count == 8) continue;
    number.digits = digits;
    return static_cast<size_t>(at_ - from);
  }
  // 17 more digits at most fit behind up to two; those that may not fit take the careful way.
  while (at_ != end_ && IsDigit(*at_) && digits < 1'000'000'000'000'000'000U) {
    digits = digits * 10 + static_cast<uint64_t>(*at_++ - '0');
  }
  number.digits = digits;
  auto taken = static_cast<size_t>(at_ - from);
  for (; at_ != end_ && IsDigit(*at_); ++at_, ++taken) {
    uint64_t next = 0;
    bool fits = number.exact && !__builtin_mul_overflow(number.digits, 10U, &next) &&
                !__builtin_add_overflow(next, static_cast<uint64_t>(*at_ - '0'), &next);
    if (fits) {
      number.digits = next;
    } else {
      number.exact = false;
      ++number.exponent;
    }
  }
  return taken;
}

bool JsonScanner::ScanFraction(JsonNumber& number) {
  number.kind = JsonNumber::Kind::kDecimal;
  if (!IsDigit(Peek())) return Fail("Miss fraction part in number.");
  number.exponent -= static_cast<int64_t>(Digits(number));
  return true;
}

bool JsonScanner::ScanExponent(JsonNumber& number) {
  number.kind = JsonNumber::Kind::kDecimal;
  bool negative = Take('-');
  if (!negative) Take('+');
  if (!IsDigit(Peek())) return Fail("Miss exponent in number.");
  int64_t exponent = 0;
  for (; IsDigit(Peek()); ++at_) exponent = std::min(kMostExponent, exponent * 10 + (*at_ - '0'));
  number.exponent += negative ? -exponent : exponent;
  return true;
}

bool JsonScanner::ScanSpecial(JsonNumber& number) {
  if (Take('N')) {
    if (!Take('a') || !Take('N')) return Fail("Invalid value.");
    number.kind = JsonNumber::Kind::kNan;
  } else if (Take('I')) {
    if (!Take('n') || !Take('f')) return Fail("Invalid value.");
    number.kind = JsonNumber::Kind::kInfinity;
    if (Peek() == 'i' && !ScanWord("inity")) return false;
  } else {
    return Fail("Invalid value.");
  }
  number.end = at_;
  return true;
}

bool JsonScanner::ScanNumber(JsonNumber& number) {
  number = JsonNumber{};
  size_t from = offset();
  number.begin = at_;
  number.negative = Take('-');
  if (!IsDigit(Peek())) return ScanSpecial(number);
  if (!Take('0')) Digits(number);
  if (Take('.') && !ScanFraction(number)) return false;
  if ((Peek() | 0x20) == 'e') {
    ++at_;
    if (!ScanExponent(number)) return false;
  }
  number.end = at_;
  // Far from the end of the range there is nothing to be computed.
  bool large = !number.exact || number.exponent > 280;
  if (large && !std::isfinite(ToDouble(number))) return FailAt(from, "Number too big to be stored in double.");
  return true;
}

bool JsonScanner::ScanWord(std::string_view word) {
  for (char c : word) {
    if (!Take(c)) return Fail("Invalid value.");
  }
  return true;
}

bool JsonScanner::ScanString(std::string* to) {
  ++at_;
  while (true) {
    const char* plain = at_;
    while (at_ != end_ && static_cast<uint8_t>(*at_) >= 0x20 && *at_ != '"' && *at_ != '\\') ++at_;
    if (to != nullptr) to->append(plain, at_);
    if (Take('"')) return true;
    if (Peek() == '\0') return Fail("Missing a closing quotation mark in string.");
    if (*at_ != '\\') return Fail("Invalid encoding in string.");
    if (!ScanEscape(to)) return false;
  }
}

bool JsonScanner::ScanEscape(std::string* to) {
  static constexpr std::string_view kFrom = "\"\\/bfnrt", kTo = "\"\\/\b\f\n\r\t";
  size_t escape = offset();
  ++at_;
  if (Take('u')) return ScanUnicode(escape, to);
  size_t which = AtEnd() ? std::string_view::npos : kFrom.find(*at_);
  if (which == std::string_view::npos) return FailAt(escape, "Invalid escape character in string.");
  ++at_;
  if (to != nullptr) *to += kTo[which];
  return true;
}

bool JsonScanner::ScanHex(size_t escape, uint32_t& code) {
  code = 0;
  for (int index = 0; index < 4; ++index) {
    char c = Peek();
    auto lower = static_cast<char>(c | 0x20);
    if (IsDigit(c)) {
      code = code << 4 | static_cast<uint32_t>(c - '0');
    } else if (lower >= 'a' && lower <= 'f') {
      code = code << 4 | static_cast<uint32_t>(lower - 'a' + 10);
    } else {
      return FailAt(escape, "Incorrect hex digit after \\u escape in string.");
    }
    ++at_;
  }
  return true;
}

bool JsonScanner::ScanUnicode(size_t escape, std::string* to) {
  uint32_t code = 0;
  if (!ScanHex(escape, code)) return false;
  if (code >= 0xd800 && code <= 0xdfff) {
    uint32_t low = 0;
    bool pair = code < 0xdc00 && Take('\\') && Take('u');
    if (pair && !ScanHex(escape, low)) return false;
    if (!pair || low < 0xdc00 || low > 0xdfff) return FailAt(escape, "The surrogate pair in string is invalid.");
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  }
  if (to != nullptr) AppendUtf8(code, *to);
  return true;
}

}  // namespace sagebrush::serving
