#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "serving/rest/rest_inference.h"

namespace sagebrush::serving {

// NumPy's array file (numpy.lib.format, versions 1 to 3), as numpy.save writes it, in either byte order and either
// element order. Numbers, booleans and half precision; |S and <U arrays become strings in UTF-8. kInvalidArgument for
// a damaged file, objects (which would have to be unpickled) and other types.
Result<Tensor> ParseNpy(std::string_view body);

// The array file of a tensor, version 1; strings become |S of the longest. kUnsupported for types that NumPy lacks.
Result<std::string> EncodeNpy(const Tensor& tensor);

// An application/x-npy body as the input of the model's default signature, which must have one. The array holds the
// rows, or one row of the input's shape. Its numbers are converted to the input's type where values keep their meaning:
// floating point to floating point, integers to any type that holds them.
Result<DecodedPredict> DecodeNpy(std::string_view body, const Servable& servable);

}  // namespace sagebrush::serving
