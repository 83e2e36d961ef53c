#pragma once

#include <span>
#include <string>
#include <string_view>

#include "serving/core/example_inference.h"
#include "serving/rest/rest_inference.h"
#include "serving/signature/signature.h"
#include "serving/tensor/tensor.h"

namespace sagebrush::serving {

// The JSON replies, to the byte as TensorFlow Serving formats them. Errors are kInvalidArgument in its words.

// {"predictions": […]} or {"outputs": …} for all outputs of the signature, in the order of its map. By rows every
// output needs the same first dimension. Strings of an output whose name ends in "_bytes" become {"b64": "…"}.
Result<std::string> PrintOutputs(const Signature& signature, std::span<const Tensor> outputs, OutputForm form);

// {"results": [[["label", score], …], …]}: without classes the labels are "", without scores the scores 0.
std::string PrintClassifications(const ClassificationTable& table);

// {"results": [value, …]}.
std::string PrintRegressions(std::span<const float> values);

// {"error": "…"}.
std::string PrintError(std::string_view message);

}  // namespace sagebrush::serving
