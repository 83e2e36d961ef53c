#include "serving/signature/wire_format.h"

namespace sagebrush::serving {

std::optional<uint64_t> WireReader::TakeVarint(std::string_view& rest) {
  uint64_t value = 0;
  for (unsigned index = 0; index < 10 && index < rest.size(); ++index) {
    auto byte = static_cast<uint8_t>(rest[index]);
    value |= static_cast<uint64_t>(byte & 0x7f) << (7 * index);
    if (byte < 0x80) {
      rest.remove_prefix(index + 1);
      return value;
    }
  }
  return std::nullopt;
}

std::optional<uint64_t> WireReader::TakeFixed(size_t size) {
  if (rest_.size() < size) return std::nullopt;
  uint64_t value = 0;
  for (size_t index = 0; index < size; ++index) {
    value |= static_cast<uint64_t>(static_cast<uint8_t>(rest_[index])) << (8 * index);
  }
  rest_.remove_prefix(size);
  return value;
}

bool WireReader::Next() {
  if (!ok_ || rest_.empty()) return false;
  number_ = 0;
  bytes_ = {};
  std::optional<uint64_t> tag = TakeVarint(rest_);
  ok_ = tag && *tag >> 3 != 0 && *tag <= UINT32_MAX;
  if (!ok_) return false;
  field_ = static_cast<uint32_t>(*tag >> 3);
  type_ = static_cast<uint32_t>(*tag & 7);
  std::optional<uint64_t> value;
  if (type_ == 0 || type_ == 2) value = TakeVarint(rest_);
  if (type_ == 1) value = TakeFixed(8);
  if (type_ == 5) value = TakeFixed(4);
  ok_ = value && (type_ != 2 || *value <= rest_.size());
  if (!ok_) return false;
  number_ = *value;
  if (type_ == 2) {
    bytes_ = rest_.substr(0, *value);
    rest_.remove_prefix(*value);
    number_ = 0;
  }
  return true;
}

void WireWriter::AppendVarint(std::string& to, uint64_t value) {
  for (; value >= 0x80; value >>= 7) to += static_cast<char>(value | 0x80);
  to += static_cast<char>(value);
}

WireWriter& WireWriter::Varint(uint32_t field, uint64_t value) {
  AppendVarint(bytes_, uint64_t{field} << 3);
  AppendVarint(bytes_, value);
  return *this;
}

WireWriter& WireWriter::Bytes(uint32_t field, std::string_view value) {
  AppendVarint(bytes_, uint64_t{field} << 3 | 2);
  AppendVarint(bytes_, value.size());
  bytes_ += value;
  return *this;
}

}  // namespace sagebrush::serving
