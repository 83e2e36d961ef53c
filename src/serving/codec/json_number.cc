#include "serving/codec/json_number.h"

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <system_error>

namespace sagebrush::serving {
namespace {

constexpr uint64_t kExactInDouble = uint64_t{1} << 53;
constexpr int kExactPower = 22;  // the largest power of ten that is a double
constexpr std::array<double, kExactPower + 1> kPowers{1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                      1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                                      1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

template <class T>
T Special(const JsonNumber& number) {
  T value =
      number.kind == JsonNumber::Kind::kNan ? std::numeric_limits<T>::quiet_NaN() : std::numeric_limits<T>::infinity();
  return number.negative ? -value : value;
}

bool IsSpecial(const JsonNumber& number) {
  return number.kind == JsonNumber::Kind::kNan || number.kind == JsonNumber::Kind::kInfinity;
}

template <class T>
T FromText(const JsonNumber& number) {
  T value = 0;
  if (std::from_chars(number.begin, number.end, value).ec != std::errc::result_out_of_range) return value;
  // With at most 19 digits before it, the exponent's sign tells the two ends of the range apart.
  value = number.exponent > 0 ? std::numeric_limits<T>::infinity() : T{0};
  return number.negative ? -value : value;
}

// Both factors are doubles, so the one operation is the one rounding.
std::optional<double> FewDigits(const JsonNumber& number) {
  if (!number.exact || number.digits > kExactInDouble || number.exponent > kExactPower ||
      number.exponent < -kExactPower) {
    return std::nullopt;
  }
  auto digits = static_cast<double>(number.digits);
  double value = number.exponent < 0 ? digits / kPowers[static_cast<size_t>(-number.exponent)]
                                     : digits * kPowers[static_cast<size_t>(number.exponent)];
  return number.negative ? -value : value;
}

}  // namespace

double ToDouble(const JsonNumber& number) {
  if (IsSpecial(number)) return Special<double>(number);
  std::optional<double> value = FewDigits(number);
  return value ? *value : FromText<double>(number);
}

std::optional<float> ToFloatByDigits(const JsonNumber& number) {
  std::optional<double> value = FewDigits(number);
  if (!value) return std::nullopt;
  // The double is on the same side of every midpoint between floats as the exact value, or on it: only then could
  // rounding a second time go wrong. (Below the normal floats midpoints have other bits.)
  bool midpoint = (std::bit_cast<uint64_t>(*value) & 0x1fffffff) == 0x10000000;
  double size = std::fabs(*value);
  bool normal = size >= std::numeric_limits<float>::min() && size <= std::numeric_limits<float>::max();
  if ((!normal || midpoint) && size != 0) return std::nullopt;
  return static_cast<float>(*value);
}

float ToFloat(const JsonNumber& number) {
  if (IsSpecial(number)) return Special<float>(number);
  std::optional<float> value = ToFloatByDigits(number);
  return value ? *value : FromText<float>(number);
}

std::optional<int64_t> ToInt64(const JsonNumber& number) {
  constexpr auto kMost = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (number.kind != JsonNumber::Kind::kInteger || !number.exact) return std::nullopt;
  if (number.digits > kMost + (number.negative ? 1 : 0)) return std::nullopt;
  return static_cast<int64_t>(number.negative ? 0 - number.digits : number.digits);
}

std::optional<uint64_t> ToUint64(const JsonNumber& number) {
  if (number.kind != JsonNumber::Kind::kInteger || !number.exact || (number.negative && number.digits != 0)) {
    return std::nullopt;
  }
  return number.digits;
}

}  // namespace sagebrush::serving
