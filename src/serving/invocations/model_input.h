#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/result.h"
#include "serving/core/servable.h"

namespace sagebrush::serving {

// The signature that a body without a signature's name means: serving_default, else the only one there is.
// kInvalidArgument in TensorFlow Serving's words.
struct ChosenSignature {
  std::string name;
  const Signature* signature;  // belongs to the servable
};
Result<ChosenSignature> ChooseSignature(const Servable& servable);

// The shape that an array of shape `natural` is given for an input: `natural` itself where it fits or the input's shape
// is open; else, when the elements allow it, its rows in the input's shape ([2,784] for [-1,28,28,1] gives
// [2,28,28,1]), or the whole as the only row ([28,28,1] gives [1,28,28,1]). Where nothing fits it stays, and is refused
// later by name.
Shape FitShape(const Shape& natural, const TensorInfo& input);

// function(T()) with the C++ type of a numeric element type, and true; false, without a call, for half precision,
// complex, quantized and other types that have no plain C++ number.
template <class Function>
bool WithNumber(DataType type, Function&& function) {
  switch (type) {
    case DataType::kFloat:
      function(float());
      return true;
    case DataType::kDouble:
      function(double());
      return true;
    case DataType::kInt8:
      function(int8_t());
      return true;
    case DataType::kInt16:
      function(int16_t());
      return true;
    case DataType::kInt32:
      function(int32_t());
      return true;
    case DataType::kInt64:
      function(int64_t());
      return true;
    case DataType::kUint8:
      function(uint8_t());
      return true;
    case DataType::kUint16:
      function(uint16_t());
      return true;
    case DataType::kUint32:
      function(uint32_t());
      return true;
    case DataType::kUint64:
      function(uint64_t());
      return true;
    case DataType::kBool:
      function(bool());
      return true;
    default:
      return false;
  }
}

}  // namespace sagebrush::serving
