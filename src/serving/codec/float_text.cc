#include "serving/codec/float_text.h"

#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>

#include "serving/codec/json_number.h"

namespace sagebrush::serving {
namespace {

constexpr int kSixDigits = 6, kNineDigits = 9;
constexpr int64_t kThreeDigits = 1000, kFewUnits = 64, kSevenDigits = 1'000'000;
constexpr double kTenDigits = 1e9;  // the first number of ten digits
// Between these a float is scaled to nine digits by one exact power of ten.
constexpr float kLeast = 1e-13F, kMost = 1e22F;

// `digits` of `count` digits is the number as d.ddd · 10^exponent.
struct Decimal {
  int64_t digits = 0;
  int count = 0;
  int exponent = 0;
};

constexpr std::array<double, 23> kPowers{1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                         1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

// One operation on exact numbers: off by less than 10^-7.
double ToNineDigits(double value, int exponent) {
  int power = kNineDigits - 1 - exponent;
  return power >= 0 ? value * kPowers[static_cast<size_t>(power)] : value / kPowers[static_cast<size_t>(-power)];
}

// The nearest number of nine digits; nullopt where the scaling is too coarse to tell.
std::optional<Decimal> NineDigits(double value) {
  constexpr double kLog2 = 0.30102999566398120;
  int exponent = static_cast<int>(std::floor(std::ilogb(value) * kLog2));  // right, or one too small
  double scaled = ToNineDigits(value, exponent);
  if (scaled >= kTenDigits) scaled = ToNineDigits(value, ++exponent);
  double below = std::floor(scaled);
  double rest = scaled - below;
  if (std::fabs(rest - 0.5) < 1e-5) return std::nullopt;
  Decimal decimal{.digits = static_cast<int64_t>(below) + (rest > 0.5 ? 1 : 0), .count = kNineDigits};
  if (decimal.digits == static_cast<int64_t>(kTenDigits)) {
    decimal.digits /= 10;
    ++exponent;
  }
  decimal.exponent = exponent;
  return decimal;
}

// The decimal to be printed: of six digits if that reads back as the same float, which needs the last three digits of
// nine to be next to none: the floats on both sides of a float are at most 2^-23 of it away.
std::optional<Decimal> Shortest(float value) {
  std::optional<Decimal> nine = NineDigits(value);
  if (!nine) return std::nullopt;
  int64_t last = nine->digits % kThreeDigits;
  if (last > kFewUnits && last < kThreeDigits - kFewUnits) return nine;
  Decimal six{.digits = nine->digits / kThreeDigits + (last > kFewUnits ? 1 : 0),
              .count = kSixDigits,
              .exponent = nine->exponent};
  std::optional<float> read =
      ToFloatByDigits({.digits = static_cast<uint64_t>(six.digits), .exponent = six.exponent - (kSixDigits - 1)});
  if (!read) return std::nullopt;
  if (*read != value) return nine;
  if (six.digits == kSevenDigits) {
    six.digits /= 10;
    ++six.exponent;
  }
  return six;
}

// As "%g" lays it out, zeros at the end cut.
void AppendDecimal(Decimal decimal, std::string& to) {
  int precision = decimal.count;
  for (; decimal.count > 1 && decimal.digits % 10 == 0; --decimal.count) decimal.digits /= 10;
  std::array<char, kNineDigits> buffer;
  std::to_chars(buffer.data(), buffer.data() + buffer.size(), decimal.digits);
  std::string_view digits(buffer.data(), static_cast<size_t>(decimal.count));
  if (decimal.exponent < -4 || decimal.exponent >= precision) {
    to += digits[0];
    if (digits.size() > 1) {
      to += '.';
      to += digits.substr(1);
    }
    int size = std::abs(decimal.exponent);
    to += decimal.exponent < 0 ? "e-" : "e+";
    to += static_cast<char>('0' + size / 10);
    to += static_cast<char>('0' + size % 10);
  } else if (decimal.exponent < 0) {
    to += std::string_view("0.000").substr(0, static_cast<size_t>(1 - decimal.exponent));
    to += digits;
  } else {
    auto whole = static_cast<size_t>(decimal.exponent) + 1;
    to += digits.substr(0, whole);
    if (digits.size() < whole) to.append(whole - digits.size(), '0');
    to += '.';
    to += digits.size() > whole ? digits.substr(whole) : "0";
  }
}

bool AppendSpecial(double value, std::string& to) {
  if (std::isfinite(value)) return false;
  to += std::isnan(value) ? "NaN" : std::signbit(value) ? "-Infinity" : "Infinity";
  return true;
}

template <class T>
void AppendAny(T value, std::string& to) {
  std::array<char, 40> buffer;
  char* begin = buffer.data();
  char* limit = begin + buffer.size();
  char* end = std::to_chars(begin, limit, value, std::chars_format::general, kSixDigits).ptr;
  T read = 0;
  std::from_chars(begin, end, read);
  if (read != value) {
    constexpr int kAllDigits = std::numeric_limits<T>::max_digits10;
    end = std::to_chars(begin, limit, value, std::chars_format::general, kAllDigits).ptr;
  }
  std::string_view text(begin, end);
  to += text;
  if (text.find_first_of(".e") == std::string_view::npos) to += ".0";
}

}  // namespace

void AppendNumber(float value, std::string& to) {
  if (AppendSpecial(value, to)) return;
  float size = std::fabs(value);
  std::optional<Decimal> decimal;
  if (size >= kLeast && size < kMost) decimal = Shortest(size);
  if (!decimal) return AppendAny(value, to);
  if (std::signbit(value)) to += '-';
  AppendDecimal(*decimal, to);
}

void AppendNumber(double value, std::string& to) {
  if (!AppendSpecial(value, to)) AppendAny(value, to);
}

}  // namespace sagebrush::serving
