#include "serving/codec/tensor_reader.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "base/check.h"
#include "serving/codec/json_body.h"

namespace sagebrush::serving {
namespace {

constexpr size_t kBytesOfNumber = 8;  // of text, for the first guess

template <class T>
bool Convert(const JsonNumber& number, T& value) {
  if constexpr (std::is_same_v<T, float>) {
    value = ToFloat(number);
    return std::isfinite(value) || number.kind >= JsonNumber::Kind::kNan;
  } else if constexpr (std::is_same_v<T, double>) {
    value = ToDouble(number);
    return true;
  } else if constexpr (std::is_same_v<T, uint64_t>) {
    std::optional<uint64_t> whole = ToUint64(number);
    if (whole) value = *whole;
    return whole.has_value();
  } else {
    std::optional<int64_t> whole = ToInt64(number);
    if (!whole || *whole < std::numeric_limits<T>::min() || *whole > std::numeric_limits<T>::max()) return false;
    value = static_cast<T>(*whole);
    return true;
  }
}

// fn<T>() for the C++ type of the elements; false for types that JSON numbers cannot state.
template <class Fn>
bool WithNumberType(DataType type, Fn fn) {
  switch (type) {
    case DataType::kFloat:
      return fn.template operator()<float>();
    case DataType::kDouble:
      return fn.template operator()<double>();
    case DataType::kInt8:
      return fn.template operator()<int8_t>();
    case DataType::kUint8:
      return fn.template operator()<uint8_t>();
    case DataType::kInt16:
      return fn.template operator()<int16_t>();
    case DataType::kInt32:
      return fn.template operator()<int32_t>();
    case DataType::kInt64:
      return fn.template operator()<int64_t>();
    case DataType::kUint32:
      return fn.template operator()<uint32_t>();
    case DataType::kUint64:
      return fn.template operator()<uint64_t>();
    default:
      return false;
  }
}

}  // namespace

TensorReader::TensorReader(DataType type, size_t text_bytes) : type_(type) {
  size_t guess = (text_bytes / kBytesOfNumber + 1) * ElementBytes(type);
  capacity_ = (guess + kTensorAlignment) / kTensorAlignment * kTensorAlignment;
  buffer_.reset(static_cast<std::byte*>(std::aligned_alloc(kTensorAlignment, capacity_)));
  CHECK(buffer_ != nullptr);
}

void TensorReader::Grow() {
  std::unique_ptr<std::byte, FreeMemory> larger(
      static_cast<std::byte*>(std::aligned_alloc(kTensorAlignment, 2 * capacity_)));
  CHECK(larger != nullptr);
  std::memcpy(larger.get(), buffer_.get(), used_);
  buffer_ = std::move(larger);
  capacity_ *= 2;
}

template <class T>
void TensorReader::Append(T value) {
  if (used_ + sizeof(T) > capacity_) Grow();
  std::memcpy(buffer_.get() + used_, &value, sizeof(T));
  used_ += sizeof(T);
}

bool TensorReader::Read(JsonScanner& scanner) { return Value(scanner, 0); }

Tensor TensorReader::Take(std::optional<int64_t> rows) && {
  Shape shape;
  if (rows) shape.push_back(*rows);
  shape.insert(shape.end(), sizes_.begin(), sizes_.end());
  if (type_ == DataType::kString) return Tensor::Strings(std::move(shape), std::move(strings_));
  const std::byte* data = buffer_.get();
  std::shared_ptr<const void> owner(buffer_.release(),
                                    [](const void* memory) { std::free(const_cast<void*>(memory)); });
  return Tensor::Numeric(type_, std::move(shape), std::move(owner), data);
}

bool TensorReader::Value(JsonScanner& scanner, size_t level) {
  scanner.SkipSpace();
  if (scanner.Peek() == '[') return List(scanner, level);
  if (!rank_) rank_ = level;
  return *rank_ == level && Scalar(scanner);
}

bool TensorReader::List(JsonScanner& scanner, size_t level) {
  if (level >= rank_.value_or(kMostItemDimensions)) return false;
  if (sizes_.size() <= level) sizes_.push_back(-1);
  scanner.Take('[');
  scanner.SkipSpace();
  int64_t count = 0;
  if (scanner.Peek() == ']') {
    if (!rank_) rank_ = level + 1;
  } else if (rank_ == level + 1 ? !Row(scanner, count) : !Elements(scanner, level + 1, count)) {
    return false;
  }
  int64_t& expected = sizes_[level];
  if (expected < 0) expected = count;
  return expected == count && scanner.Take(']');
}

bool TensorReader::Elements(JsonScanner& scanner, size_t level, int64_t& count) {
  if (scanner.Peek() != '[') {
    if (!rank_) rank_ = level;
    return *rank_ == level && Row(scanner, count);
  }
  do {
    if (!Value(scanner, level)) return false;
    ++count;
    scanner.SkipSpace();
  } while (scanner.Take(','));
  return true;
}

bool TensorReader::Row(JsonScanner& scanner, int64_t& count) {
  if (type_ != DataType::kBool && type_ != DataType::kString) {
    return WithNumberType(type_, [&]<class T>() { return NumberRow<T>(scanner, count); });
  }
  do {
    scanner.SkipSpace();
    if (!Scalar(scanner)) return false;
    ++count;
    scanner.SkipSpace();
  } while (scanner.Take(','));
  return true;
}

template <class T>
bool TensorReader::NumberRow(JsonScanner& scanner, int64_t& count) {
  JsonNumber number;
  T value;
  do {
    scanner.SkipSpace();
    bool taken = false;
    if constexpr (std::is_same_v<T, float>) taken = scanner.TakeShortFloat(value);
    if (!taken && (!scanner.ScanNumber(number) || !Convert(number, value))) return false;
    Append(value);
    ++count;
    scanner.SkipSpace();
  } while (scanner.Take(','));
  return true;
}

bool TensorReader::Scalar(JsonScanner& scanner) {
  if (type_ == DataType::kBool) return Bool(scanner);
  if (type_ == DataType::kString) return Text(scanner);
  return WithNumberType(type_, [&]<class T>() {
    JsonNumber number;
    T value;
    if (!scanner.ScanNumber(number) || !Convert(number, value)) return false;
    Append(value);
    return true;
  });
}

bool TensorReader::Bool(JsonScanner& scanner) {
  bool value = scanner.Peek() == 't';
  if (!scanner.ScanWord(value ? "true" : "false")) return false;
  Append(static_cast<uint8_t>(value));
  return true;
}

bool TensorReader::Text(JsonScanner& scanner) {
  if (scanner.Peek() == '{') return ReadBase64Object(scanner, strings_);
  return scanner.Peek() == '"' && scanner.ScanString(&strings_.emplace_back());
}

bool ReadBase64Object(JsonScanner& scanner, std::vector<std::string>& strings) {
  std::string key, value;
  if (!scanner.Take('{')) return false;
  scanner.SkipSpace();
  if (scanner.Peek() != '"' || !scanner.ScanString(&key) || key != "b64") return false;
  scanner.SkipSpace();
  if (!scanner.Take(':')) return false;
  scanner.SkipSpace();
  if (scanner.Peek() != '"' || !scanner.ScanString(&value)) return false;
  scanner.SkipSpace();
  std::optional<std::string> bytes = DecodeBase64Value(value);
  if (!bytes || !scanner.Take('}')) return false;
  strings.push_back(*std::move(bytes));
  return true;
}

}  // namespace sagebrush::serving
