#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "base/hash.h"
#include "base/result.h"

namespace sagebrush::objstore {

// One of S3's checksum algorithms over data that arrives in pieces: CRC32, CRC32C, CRC64NVME, SHA1, SHA256.
// Not thread-safe; Finish once.
class Checksum {
 public:
  // InvalidRequest for another name.
  static Result<Checksum> Create(std::string_view algorithm);
  void Update(std::string_view data);
  std::string Finish();  // raw bytes, CRCs big-endian

 private:
  enum class Crc { kCrc32, kCrc32c, kCrc64Nvme };
  struct CrcState {
    Crc kind;
    uint64_t value = 0;
  };
  explicit Checksum(std::variant<CrcState, Digest> state) : state_(std::move(state)) {}
  std::variant<CrcState, Digest> state_;
};

bool IsCrc(std::string_view algorithm);
// Whether `base64` decodes to as many bytes as the algorithm's checksums have.
bool IsWellFormedChecksum(std::string_view algorithm, std::string_view base64);

uint64_t Crc64Nvme(std::string_view data, uint64_t crc = 0);

// The raw CRC of A followed by B from the raw CRCs of both; `second_length` is the length of B in bytes.
std::string CombineCrc(std::string_view algorithm, std::string_view first, std::string_view second,
                       uint64_t second_length);

}  // namespace sagebrush::objstore
