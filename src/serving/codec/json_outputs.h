#pragma once

#include <span>
#include <string>
#include <string_view>

#include "serving/rest/rest_inference.h"
#include "serving/signature/signature.h"
#include "serving/tensor/tensor.h"

namespace sagebrush::serving {

// The JSON replies, to the byte as TensorFlow Serving formats them. Errors are kInvalidArgument in its words.

// {"predictions": […]} or {"outputs": …} for all outputs of the signature, in the order of its map. By rows every
// output needs the same first dimension. Strings of an output whose name ends in "_bytes" become {"b64": "…"}.
Result<std::string> PrintOutputs(const Signature& signature, std::span<const Tensor> outputs, OutputForm form);

// {"results": [[["label", score], …], …]}: `classes` strings [batch, n] or null, `scores` floats [batch, n] or null.
Result<std::string> PrintClassifications(const Tensor* classes, const Tensor* scores, int64_t examples);

// {"results": [value, …]}: `values` floats [batch] or [batch, 1].
Result<std::string> PrintRegressions(const Tensor& values, int64_t examples);

// {"error": "…"}.
std::string PrintError(std::string_view message);

}  // namespace sagebrush::serving
