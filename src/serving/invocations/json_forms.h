#pragma once

#include <string_view>

#include "serving/codec/json_body.h"

namespace sagebrush::serving {

// How a JSON body of /invocations states the inputs: with "instances", "inputs" or "examples" as a key anywhere it is
// TensorFlow Serving's; several JSON texts, one behind the other, are an instance each; a list of lists is the list of
// instances; any other value is the one instance. Only as much is read as that takes: what is no JSON is found out by
// who reads the body in that form.
BodyForm FormOfInvocation(std::string_view body);

}  // namespace sagebrush::serving
