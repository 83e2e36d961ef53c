#include "objstore/checksum.h"

#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/text.h"

namespace sagebrush::objstore {
namespace {

constexpr uint32_t kCrc32Polynomial = 0xEDB88320u;  // all three in reflected form
constexpr uint32_t kCrc32cPolynomial = 0x82F63B78u;
constexpr uint64_t kCrc64NvmePolynomial = 0x9A6C9329AC4BC9B5u;

using Crc64Tables = std::array<std::array<uint64_t, 256>, 8>;

// Table k advances a byte over k further zero bytes, so that eight bytes take eight independent look-ups.
constexpr Crc64Tables MakeCrc64Tables() {
  Crc64Tables tables{};
  for (uint64_t i = 0; i < 256; ++i) {
    uint64_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value & 1 ? value >> 1 ^ kCrc64NvmePolynomial : value >> 1;
    tables[0][i] = value;
  }
  for (size_t k = 1; k < 8; ++k) {
    for (size_t i = 0; i < 256; ++i) {
      tables[k][i] = tables[k - 1][i] >> 8 ^ tables[0][tables[k - 1][i] & 0xFF];
    }
  }
  return tables;
}
constexpr Crc64Tables kCrc64Tables = MakeCrc64Tables();

std::string BigEndian64(uint64_t value) {
  return BigEndian(static_cast<uint32_t>(value >> 32)) + BigEndian(static_cast<uint32_t>(value));
}

uint64_t FromBigEndian(std::string_view bytes) {
  uint64_t value = 0;
  for (unsigned char c : bytes) value = value << 8 | c;
  return value;
}

// Product of two polynomials modulo the CRC's; x^0 is the top bit in reflected form.
template <class U>
U Multiply(U a, U b, U polynomial) {
  U product = 0;
  for (U mask = U{1} << (sizeof(U) * 8 - 1); mask != 0; mask >>= 1) {
    if (a & mask) product ^= b;
    b = b & 1 ? static_cast<U>(b >> 1 ^ polynomial) : static_cast<U>(b >> 1);
  }
  return product;
}

template <class U>
U Combine(U first, U second, uint64_t second_length, U polynomial) {
  U one = U{1} << (sizeof(U) * 8 - 1);
  U shift = one;       // x^(8 * second_length) when done
  U power = one >> 8;  // x^8, then its squares
  for (; second_length != 0; second_length >>= 1) {
    if (second_length & 1) shift = Multiply(shift, power, polynomial);
    power = Multiply(power, power, polynomial);
  }
  return Multiply(shift, first, polynomial) ^ second;
}

size_t RawLength(std::string_view algorithm) {
  if (algorithm == "CRC32" || algorithm == "CRC32C") return 4;
  if (algorithm == "CRC64NVME") return 8;
  if (algorithm == "SHA1") return 20;
  if (algorithm == "SHA256") return 32;
  return 0;
}

}  // namespace

uint64_t Crc64Nvme(std::string_view data, uint64_t crc) {
  crc = ~crc;
  while (data.size() >= 8) {
    uint64_t word;
    std::memcpy(&word, data.data(), 8);
    word ^= crc;
    crc = 0;
    for (size_t k = 0; k < 8; ++k) crc ^= kCrc64Tables[7 - k][word >> (8 * k) & 0xFF];
    data.remove_prefix(8);
  }
  for (unsigned char c : data) crc = crc >> 8 ^ kCrc64Tables[0][(crc ^ c) & 0xFF];
  return ~crc;
}

Result<Checksum> Checksum::Create(std::string_view algorithm) {
  if (algorithm == "CRC32") return Checksum(CrcState{Crc::kCrc32});
  if (algorithm == "CRC32C") return Checksum(CrcState{Crc::kCrc32c});
  if (algorithm == "CRC64NVME") return Checksum(CrcState{Crc::kCrc64Nvme});
  if (algorithm == "SHA1") return Checksum(Digest(DigestAlgorithm::kSha1));
  if (algorithm == "SHA256") return Checksum(Digest(DigestAlgorithm::kSha256));
  return Fail(
      InvalidArgument("Checksum algorithm provided is unsupported. Please try again with any of the valid "
                      "types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]",
                      "InvalidRequest"));
}

void Checksum::Update(std::string_view data) {
  if (Digest* digest = std::get_if<Digest>(&state_)) return digest->Update(data);
  CrcState& crc = std::get<CrcState>(state_);
  switch (crc.kind) {
    case Crc::kCrc32:
      crc.value = Crc32(data, static_cast<uint32_t>(crc.value));
      return;
    case Crc::kCrc32c:
      crc.value = Crc32c(data, static_cast<uint32_t>(crc.value));
      return;
    case Crc::kCrc64Nvme:
      crc.value = Crc64Nvme(data, crc.value);
      return;
  }
}

std::string Checksum::Finish() {
  if (Digest* digest = std::get_if<Digest>(&state_)) return digest->Finish();
  const CrcState& crc = std::get<CrcState>(state_);
  return crc.kind == Crc::kCrc64Nvme ? BigEndian64(crc.value) : BigEndian(static_cast<uint32_t>(crc.value));
}

bool IsCrc(std::string_view algorithm) { return algorithm.starts_with("CRC") && RawLength(algorithm) != 0; }

bool IsWellFormedChecksum(std::string_view algorithm, std::string_view base64) {
  std::optional<std::string> raw = Base64Decode(base64);
  return raw.has_value() && raw->size() == RawLength(algorithm) && !raw->empty();
}

std::string CombineCrc(std::string_view algorithm, std::string_view first, std::string_view second,
                       uint64_t second_length) {
  CHECK(IsCrc(algorithm) && first.size() == RawLength(algorithm) && second.size() == first.size());
  uint64_t a = FromBigEndian(first), b = FromBigEndian(second);
  if (algorithm == "CRC64NVME") return BigEndian64(Combine(a, b, second_length, kCrc64NvmePolynomial));
  uint32_t polynomial = algorithm == "CRC32" ? kCrc32Polynomial : kCrc32cPolynomial;
  return BigEndian(Combine(static_cast<uint32_t>(a), static_cast<uint32_t>(b), second_length, polynomial));
}

}  // namespace sagebrush::objstore
