#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sagebrush::serving {

struct DecodedExamples {
  std::string signature_name;         // "": the default one
  std::vector<std::string> examples;  // serialized tensorflow.Example, never empty
};

// The body of a classify or regress call: {"signature_name"?, "context"?: {…}, "examples": [{feature: value or list},
// …]}. Booleans and whole numbers become int64_list, other numbers float_list, strings and {"b64": "…"} bytes_list. The
// features of the context come before each example's own, which replace those of the same name. kInvalidArgument in
// TensorFlow Serving's words.
Result<DecodedExamples> ParseExamples(std::string_view body);

}  // namespace sagebrush::serving
