#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace sagebrush {

// Digests are raw bytes; HexEncode or Base64Encode them for the wire.
std::string Sha256(std::string_view data);
std::string Sha1(std::string_view data);
std::string Md5(std::string_view data);
std::string HmacSha256(std::string_view key, std::string_view data);
std::string HmacSha1(std::string_view key, std::string_view data);
uint32_t Crc32(std::string_view data, uint32_t crc = 0);   // zlib's polynomial; pass the last value to go on
uint32_t Crc32c(std::string_view data, uint32_t crc = 0);  // Castagnoli
std::string BigEndian(uint32_t value);                     // 4 bytes, as S3 encodes its CRC checksums
bool ConstantTimeEquals(std::string_view a, std::string_view b);

enum class DigestAlgorithm { kMd5, kSha1, kSha256 };

// A digest over data that arrives in pieces. Not thread-safe; Finish once.
class Digest {
 public:
  explicit Digest(DigestAlgorithm algorithm);
  ~Digest();
  Digest(Digest&&) noexcept;
  Digest& operator=(Digest&&) noexcept;
  void Update(std::string_view data);
  std::string Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sagebrush
