#pragma once

#include <cstdint>
#include <optional>

namespace sagebrush::serving {

// A JSON number as it was scanned: ±digits · 10^exponent, with the text that it came from for the cases where the
// digits do not fit.
struct JsonNumber {
  enum class Kind { kInteger, kDecimal, kNan, kInfinity };  // kInteger: neither fraction nor exponent
  Kind kind = Kind::kInteger;
  bool negative = false;
  bool exact = true;  // `digits` holds them all
  uint64_t digits = 0;
  int64_t exponent = 0;
  const char* begin = nullptr;
  const char* end = nullptr;
};

// The nearest double or float, rounded once; ±infinity beyond the range, ±0 below it.
double ToDouble(const JsonNumber& number);
float ToFloat(const JsonNumber& number);
// The same without a look at the text, where few digits and a common size allow that; nullopt otherwise.
std::optional<float> ToFloatByDigits(const JsonNumber& number);
// nullopt for a fraction, an exponent, or a value out of range.
std::optional<int64_t> ToInt64(const JsonNumber& number);
std::optional<uint64_t> ToUint64(const JsonNumber& number);

}  // namespace sagebrush::serving
