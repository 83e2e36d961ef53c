#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sagebrush::serving {

// Protocol Buffers' wire format, as much of it as reading and writing a few known messages takes. Source:
// https://protobuf.dev/programming-guides/encoding.
//
//   for (WireReader message(bytes); message.Next();) {
//     if (message.field() == 5) Read(message.bytes());
//   }
//   if (!message.ok()) …
class WireReader {
 public:
  explicit WireReader(std::string_view bytes) : rest_(bytes) {}

  // Steps to the next field; false at the end and for a broken message, which ok() tells apart.
  bool Next();
  bool ok() const { return ok_; }

  uint32_t field() const { return field_; }
  bool is_varint() const { return type_ == 0; }
  bool is_fixed64() const { return type_ == 1; }
  bool is_bytes() const { return type_ == 2; }
  bool is_fixed32() const { return type_ == 5; }
  // The field's value: of a varint or fixed number; of a string, message or packed list. Empty or 0 for other kinds.
  uint64_t number() const { return number_; }
  std::string_view bytes() const { return bytes_; }

  // A varint at the front of `rest`, which loses it; nullopt when it is cut short or longer than ten bytes.
  static std::optional<uint64_t> TakeVarint(std::string_view& rest);

 private:
  std::optional<uint64_t> TakeFixed(size_t size);

  std::string_view rest_, bytes_;
  uint32_t field_ = 0, type_ = 0;
  uint64_t number_ = 0;
  bool ok_ = true;
};

class WireWriter {
 public:
  WireWriter& Varint(uint32_t field, uint64_t value);
  WireWriter& Bytes(uint32_t field, std::string_view value);  // a string, a message or a packed list
  const std::string& bytes() const { return bytes_; }
  std::string Take() { return std::move(bytes_); }

  static void AppendVarint(std::string& to, uint64_t value);

 private:
  std::string bytes_;
};

}  // namespace sagebrush::serving
