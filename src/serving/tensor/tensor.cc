#include "serving/tensor/tensor.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/check.h"

namespace sagebrush::serving {
namespace {

// At least one block, so that an empty tensor has an address too.
std::shared_ptr<const void> AllocateAligned(size_t bytes) {
  size_t rounded = std::max<size_t>(1, (bytes + kTensorAlignment - 1) / kTensorAlignment) * kTensorAlignment;
  void* buffer = std::aligned_alloc(kTensorAlignment, rounded);
  CHECK(buffer != nullptr);
  return {buffer, [](void* memory) { std::free(memory); }};
}

size_t StrideBytes(DataType type) { return type == DataType::kString ? sizeof(std::string) : ElementBytes(type); }

}  // namespace

std::optional<int64_t> ElementCount(std::span<const int64_t> shape) {
  int64_t count = 1;
  for (int64_t size : shape) {
    if (size < 0 || __builtin_mul_overflow(count, size, &count)) return std::nullopt;
  }
  return count;
}

std::string ShapeText(std::span<const int64_t> shape) { return fmt::format("[{}]", fmt::join(shape, ",")); }

Tensor::Tensor(DataType type, Shape shape, std::shared_ptr<const void> owner, const std::byte* data)
    : type_(type), shape_(std::move(shape)), owner_(std::move(owner)), data_(data) {
  std::optional<int64_t> count = ElementCount(shape_);
  CHECK(count.has_value());
  count_ = *count;
}

Tensor Tensor::Numeric(DataType type, Shape shape) {
  std::optional<int64_t> count = ElementCount(shape);
  CHECK(count.has_value() && ElementBytes(type) > 0);
  std::shared_ptr<const void> buffer = AllocateAligned(static_cast<size_t>(*count) * ElementBytes(type));
  const auto* data = static_cast<const std::byte*>(buffer.get());
  return {type, std::move(shape), std::move(buffer), data};
}

Tensor Tensor::Numeric(DataType type, Shape shape, std::shared_ptr<const void> owner, const void* data) {
  CHECK(ElementBytes(type) > 0);
  return {type, std::move(shape), std::move(owner), static_cast<const std::byte*>(data)};
}

Tensor Tensor::Strings(Shape shape, std::vector<std::string> elements) {
  auto shared = std::make_shared<const std::vector<std::string>>(std::move(elements));
  const auto* data = reinterpret_cast<const std::byte*>(shared->data());
  size_t count = shared->size();
  Tensor tensor(DataType::kString, std::move(shape), std::move(shared), data);
  CHECK(static_cast<size_t>(tensor.count_) == count);
  return tensor;
}

Tensor Tensor::Reshaped(Shape shape) const {
  CHECK(ElementCount(shape) == count_);
  return {type_, std::move(shape), owner_, data_};
}

Tensor Tensor::Rows(int64_t begin, int64_t end) const {
  CHECK(!shape_.empty() && begin >= 0 && begin <= end && end <= shape_[0]);
  Shape shape = shape_;
  shape[0] = end - begin;
  int64_t row_elements = shape_[0] == 0 ? 0 : count_ / shape_[0];
  return {type_, std::move(shape), owner_, data_ + static_cast<size_t>(begin * row_elements) * StrideBytes(type_)};
}

Result<Tensor> Concatenate(std::span<const Tensor> parts) {
  CHECK(!parts.empty());
  const Tensor& first = parts[0];
  Shape shape = first.shape();
  if (shape.empty()) return Fail(InvalidArgument("A scalar has no first dimension to be joined along."));
  shape[0] = 0;
  for (const Tensor& part : parts) {
    if (part.type() != first.type() || part.shape().size() != shape.size() ||
        !std::equal(shape.begin() + 1, shape.end(), part.shape().begin() + 1)) {
      return Fail(InvalidArgument("Tensors of different types or row shapes cannot be joined: " +
                                  ShapeText(first.shape()) + " and " + ShapeText(part.shape())));
    }
    shape[0] += part.shape()[0];
  }
  if (first.type() == DataType::kString) {
    std::vector<std::string> elements;
    for (const Tensor& part : parts) elements.insert(elements.end(), part.strings().begin(), part.strings().end());
    return Tensor::Strings(std::move(shape), std::move(elements));
  }
  Tensor joined = Tensor::Numeric(first.type(), std::move(shape));
  std::byte* to = joined.mutable_data();
  for (const Tensor& part : parts) {
    std::memcpy(to, part.data(), part.byte_size());
    to += part.byte_size();
  }
  return joined;
}

}  // namespace sagebrush::serving
