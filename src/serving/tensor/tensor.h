#pragma once

#include <boost/container/small_vector.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "serving/tensor/data_type.h"

namespace sagebrush::serving {

// Sizes of the dimensions, outermost first; empty for a scalar. In a signature -1 stands for "any size".
using Shape = boost::container::small_vector<int64_t, 4>;

// TensorFlow takes a buffer without a copy when it is aligned so.
inline constexpr size_t kTensorAlignment = 64;

// The product of the dimensions; nullopt when one is negative or the product overflows.
std::optional<int64_t> ElementCount(std::span<const int64_t> shape);
// "[1,28,28]".
std::string ShapeText(std::span<const int64_t> shape);

// A dense tensor in row-major order: numbers as bytes in the machine's order, or strings (any bytes). The elements are
// shared and immutable once the tensor is handed on, so copies and slices along the first dimension cost no copy of the
// data. Thread-safe as a const object.
class Tensor {
 public:
  Tensor() = default;
  // Numbers, uninitialised, in a buffer aligned to kTensorAlignment. CHECKs that the type is numeric and the shape
  // valid; validate what comes from outside with ElementCount first.
  static Tensor Numeric(DataType type, Shape shape);
  // Numbers in somebody else's buffer, which `owner` keeps alive.
  static Tensor Numeric(DataType type, Shape shape, std::shared_ptr<const void> owner, const void* data);
  // CHECKs that there are as many strings as the shape says.
  static Tensor Strings(Shape shape, std::vector<std::string> elements);

  DataType type() const { return type_; }
  const Shape& shape() const { return shape_; }
  int64_t element_count() const { return count_; }
  size_t byte_size() const { return static_cast<size_t>(count_) * ElementBytes(type_); }  // 0 for strings

  // Numbers. mutable_data only before the tensor is shared.
  const std::byte* data() const { return data_; }
  std::byte* mutable_data() { return const_cast<std::byte*>(data_); }
  template <class T>
  std::span<const T> values() const {
    return {reinterpret_cast<const T*>(data_), static_cast<size_t>(count_)};
  }
  template <class T>
  std::span<T> mutable_values() {
    return {reinterpret_cast<T*>(mutable_data()), static_cast<size_t>(count_)};
  }
  // What keeps data() alive.
  const std::shared_ptr<const void>& owner() const { return owner_; }

  std::span<const std::string> strings() const {
    return {reinterpret_cast<const std::string*>(data_), type_ == DataType::kString ? static_cast<size_t>(count_) : 0};
  }

  // The same elements in another shape of as many elements (CHECKed).
  Tensor Reshaped(Shape shape) const;
  // Rows [begin, end) along the first dimension, sharing the elements. CHECKs rank ≥ 1 and the range.
  Tensor Rows(int64_t begin, int64_t end) const;

 private:
  Tensor(DataType type, Shape shape, std::shared_ptr<const void> owner, const std::byte* data);

  DataType type_ = DataType::kInvalid;
  Shape shape_;
  int64_t count_ = 0;
  std::shared_ptr<const void> owner_;
  const std::byte* data_ = nullptr;  // numbers, or an array of std::string
};

// The tensors one behind the other along the first dimension. kInvalidArgument when types or other dimensions differ,
// or one is a scalar.
Result<Tensor> Concatenate(std::span<const Tensor> parts);

}  // namespace sagebrush::serving
