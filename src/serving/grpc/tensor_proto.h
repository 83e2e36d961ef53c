#pragma once

#include <tensorflow_serving/tensor.pb.h>

#include "base/result.h"
#include "serving/tensor/tensor.h"

namespace sagebrush::serving {

// A tensor of which most elements are only implied (a list that is too short stands for its last element repeated) may
// have so many bytes: a request of a few bytes must not take all memory.
inline constexpr size_t kMostImpliedBytes = size_t{256} << 20;

// TensorFlow's rules (Tensor::FromProto): elements from tensor_content where it is set, else from the list of the type,
// whose last element is repeated, or zeros where the list is empty; too long a list is cut. kInvalidArgument for a
// shape that is no shape, content of another size and types without a plain encoding; kResourceExhausted beyond
// kMostImpliedBytes.
Result<Tensor> TensorFromProto(const ::tensorflow::TensorProto& proto);

// Into the list of the type, which is where TensorFlow Serving puts its replies (clients read `float_val`).
void TensorToProto(const Tensor& tensor, ::tensorflow::TensorProto* proto);

}  // namespace sagebrush::serving
