#include "serving/backends/tensorflow/tensor_conversion.h"

#include <cstring>

#include "base/check.h"

namespace sagebrush::serving::tensorflow {
namespace {

TF_TString* StringAt(void* data, size_t index) {
  return reinterpret_cast<TF_TString*>(static_cast<std::byte*>(data) + index * kTStringBytes);
}

TF_Tensor* StringsToTensorFlow(const CApi& api, const Tensor& tensor) {
  std::span<const std::string> strings = tensor.strings();
  TF_Tensor* made = api.AllocateTensor(static_cast<int>(DataType::kString), tensor.shape().data(),
                                       static_cast<int>(tensor.shape().size()), strings.size() * kTStringBytes);
  CHECK(made != nullptr);
  void* data = api.TensorData(made);
  for (size_t index = 0; index < strings.size(); ++index) {
    api.StringInit(StringAt(data, index));
    api.StringCopy(StringAt(data, index), strings[index].data(), strings[index].size());
  }
  return made;
}

// The deallocator of a shared buffer: `argument` is a heap-allocated owner.
void ReleaseOwner(void*, size_t, void* argument) { delete static_cast<std::shared_ptr<const void>*>(argument); }

}  // namespace

TF_Tensor* ToTensorFlow(const CApi& api, const Tensor& tensor) {
  if (tensor.type() == DataType::kString) return StringsToTensorFlow(api, tensor);
  const auto rank = static_cast<int>(tensor.shape().size());
  TF_Tensor* made = nullptr;
  if (reinterpret_cast<uintptr_t>(tensor.data()) % kTensorAlignment == 0 && tensor.byte_size() > 0) {
    // TensorFlow only reads a fed buffer; the interface has no const.
    made = api.NewTensor(static_cast<int>(tensor.type()), tensor.shape().data(), rank,
                         const_cast<std::byte*>(tensor.data()), tensor.byte_size(), &ReleaseOwner,
                         new std::shared_ptr<const void>(tensor.owner()));
  } else {
    made = api.AllocateTensor(static_cast<int>(tensor.type()), tensor.shape().data(), rank, tensor.byte_size());
    if (made != nullptr && tensor.byte_size() > 0) std::memcpy(api.TensorData(made), tensor.data(), tensor.byte_size());
  }
  CHECK(made != nullptr);
  return made;
}

Result<Tensor> FromTensorFlow(const CApi& api, TF_Tensor* tensor) {
  std::shared_ptr<TF_Tensor> owner(tensor, api.DeleteTensor);
  auto type = static_cast<DataType>(api.TensorType(tensor));
  Shape shape;
  for (int index = 0; index < api.NumDims(tensor); ++index) shape.push_back(api.Dim(tensor, index));
  if (type == DataType::kString) {
    std::optional<int64_t> count = ElementCount(shape);
    CHECK(count.has_value());
    std::vector<std::string> strings(static_cast<size_t>(*count));
    void* data = api.TensorData(tensor);
    for (size_t index = 0; index < strings.size(); ++index) {
      const TF_TString* string = StringAt(data, index);
      strings[index].assign(api.StringGetDataPointer(string), api.StringGetSize(string));
    }
    return Tensor::Strings(std::move(shape), std::move(strings));
  }
  if (ElementBytes(type) == 0) {
    return Fail(Unsupported("The model's output is of the type " + std::string(TypeName(type)) +
                            ", which cannot leave the process."));
  }
  const void* data = api.TensorData(tensor);
  return Tensor::Numeric(type, std::move(shape), std::move(owner), data);
}

}  // namespace sagebrush::serving::tensorflow
