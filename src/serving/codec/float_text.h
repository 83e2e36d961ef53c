#pragma once

#include <string>

namespace sagebrush::serving {

// Appends a number as TensorFlow Serving prints it: what printf's "%.6g" gives where that reads back equal, else
// "%.9g" for a float and "%.17g" for a double; ".0" behind whole numbers that have no exponent; NaN, Infinity and
// -Infinity.
void AppendNumber(float value, std::string& to);
void AppendNumber(double value, std::string& to);

}  // namespace sagebrush::serving
