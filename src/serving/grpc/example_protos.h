#pragma once

#include <tensorflow_serving/prediction.pb.h>

#include "serving/core/example_inference.h"

namespace sagebrush::serving {

// A string tensor [examples]. The features of a common context are put before each example: of a feature that both
// have, the example's stands. kInvalidArgument when there is no example.
Result<Tensor> ExamplesOf(const ::tensorflow::serving::Input& input);

// What a run of ExampleInference gave, as the reply; errors are those of ReadClassifications and ReadRegressions.
Result<void> FillClassification(const Signature& signature, const Tensors& outputs, int64_t examples,
                                ::tensorflow::serving::ClassificationResult* result);
Result<void> FillRegression(const Tensors& outputs, int64_t examples, ::tensorflow::serving::RegressionResult* result);

}  // namespace sagebrush::serving
