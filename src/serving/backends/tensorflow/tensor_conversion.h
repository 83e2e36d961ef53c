#pragma once

#include "serving/backends/tensorflow/c_api.h"
#include "serving/tensor/tensor.h"

namespace sagebrush::serving::tensorflow {

// A tensor for TensorFlow, to be deleted by the caller. Numbers in aligned buffers are shared, others copied; strings
// are always copied, for TensorFlow keeps them in a form of its own.
TF_Tensor* ToTensorFlow(const CApi& api, const Tensor& tensor);

// Takes the tensor over. Numbers stay in its buffer until the last copy of the result is gone; strings are copied.
// kUnsupported for types that are no plain values (resource, variant).
Result<Tensor> FromTensorFlow(const CApi& api, TF_Tensor* tensor);

}  // namespace sagebrush::serving::tensorflow
