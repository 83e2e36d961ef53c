#pragma once

#include <tensorflow_serving/prediction.pb.h>

#include <vector>

#include "serving/core/servable.h"

namespace sagebrush::serving {

// Classify and Regress over gRPC: a list of tensorflow.Examples goes serialized into the signature's one string input,
// "inputs", and the outputs "classes" and "scores", or "outputs", become a result of one entry for each example. Errors
// in TensorFlow Serving's words (servables/tensorflow/{classifier,regressor,util}.cc).

// A string tensor [examples]. The features of a common context are put before each example: of a feature that both
// have, the example's stands. kInvalidArgument when there is no example.
Result<Tensor> ExamplesOf(const ::tensorflow::serving::Input& input);

// A run of the signature, whose method is `method` (kClassifyMethod or kRegressMethod; kUnimplemented for others), over
// the examples. kInvalidArgument or kFailedPrecondition when the signature is of another method or form.
Result<InferenceRequest> ExampleInference(std::string_view method, const Signature& signature,
                                          std::string signature_name, Tensor examples);

// What such a run gave, as the reply. kInvalidArgument when the model's outputs are not of the form that the method
// asks.
Result<void> ClassificationFrom(const Signature& signature, const Tensors& outputs, int64_t examples,
                                ::tensorflow::serving::ClassificationResult* result);
Result<void> RegressionFrom(const Tensors& outputs, int64_t examples, ::tensorflow::serving::RegressionResult* result);

}  // namespace sagebrush::serving
