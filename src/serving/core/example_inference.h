#pragma once

#include <span>
#include <string>
#include <string_view>

#include "serving/core/servable.h"

namespace sagebrush::serving {

// Classify and regress, however they were asked for: a list of tensorflow.Examples goes serialized into the signature's
// one string input, "inputs", and the outputs "classes" and "scores", or "outputs", become a result for each example.
// Errors in TensorFlow Serving's words (servables/tensorflow/{classifier,regressor}.cc).

// The signature of that name, or of the default one for "". kInvalidArgument.
Result<SignatureMap::const_iterator> FindExampleSignature(const SignatureMap& signatures, std::string_view name);

// A run of the signature, whose method is `method` (kClassifyMethod or kRegressMethod; kUnimplemented for others), over
// the examples, strings [examples]. kInvalidArgument or kFailedPrecondition when the signature is of another method or
// form.
Result<InferenceRequest> ExampleInference(std::string_view method, const Signature& signature,
                                          std::string signature_name, Tensor examples);

// What such a run of a classification gave: `columns` entries for each example, with a label, a score or both. Valid as
// long as the outputs.
struct ClassificationTable {
  const Tensor* classes = nullptr;  // strings [examples, columns]
  const Tensor* scores = nullptr;   // floats [examples, columns]
  size_t examples = 0, columns = 0;
};

// kInvalidArgument when the model's outputs are not of the form that the method asks. `outputs`: of the run that
// ExampleInference made.
Result<ClassificationTable> ReadClassifications(const Signature& signature, std::span<const Tensor> outputs,
                                                int64_t examples);
// One value for each example.
Result<std::span<const float>> ReadRegressions(std::span<const Tensor> outputs, int64_t examples);

}  // namespace sagebrush::serving
