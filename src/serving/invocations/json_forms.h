#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sagebrush::serving {

// The JSON texts that stand in `body` one behind the other, with white space between: one for a plain JSON body, one a
// line for JSON lines. The inside of a text is not looked at beyond its brackets and strings. kInvalidArgument for
// something else between them, an end before its bracket closes, and a body without any.
Result<std::vector<std::string_view>> SplitJsonTexts(std::string_view body);

// A body of /invocations as TensorFlow Serving's JSON: one with "instances", "inputs" or "examples" as it is; several
// JSON texts as an instance each; a list of lists as the instances; any other value as the one instance.
Result<std::string> ToServingJson(std::string body);

}  // namespace sagebrush::serving
