#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

// Runs of decimal digits, eight characters at a time, each eight taken for one number.
namespace sagebrush::serving::json_digits {

static_assert(std::endian::native == std::endian::little);

inline constexpr std::array<uint64_t, 9> kPowersOfTen{1,       10,        100,        1'000,      10'000,
                                                      100'000, 1'000'000, 10'000'000, 100'000'000};

// How many of the eight characters, from the first on, are digits.
inline size_t Leading(uint64_t eight) {
  uint64_t above = eight + 0x4646464646464646, below = eight - 0x3030303030303030;
  uint64_t others = (above | below | eight) & 0x8080808080808080;
  return others == 0 ? 8 : static_cast<size_t>(std::countr_zero(others)) / 8;
}

// The number that the first `count` of the eight characters state, which are digits; count > 0.
inline uint64_t Value(uint64_t eight, size_t count) {
  // Zeros in front of them make eight; then neighbours are joined to two, four and eight digits.
  uint64_t digits = (eight - 0x3030303030303030) << (64 - 8 * count);
  digits = (digits * 10) + (digits >> 8);
  return (((digits & 0x000000ff000000ff) * (100 + (uint64_t{1'000'000} << 32))) +
          (((digits >> 16) & 0x000000ff000000ff) * (1 + (uint64_t{10'000} << 32)))) >>
         32;
}

}  // namespace sagebrush::serving::json_digits
