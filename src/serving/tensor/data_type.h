#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace sagebrush::serving {

// TensorFlow's element types, with the numbers of its DataType enumeration (the same in the C interface, the protos and
// SavedModels). Types that Sagebrush can neither read nor print are listed too, so that they can be named.
enum class DataType : int {
  kInvalid = 0,
  kFloat = 1,
  kDouble = 2,
  kInt32 = 3,
  kUint8 = 4,
  kInt16 = 5,
  kInt8 = 6,
  kString = 7,
  kComplex64 = 8,
  kInt64 = 9,
  kBool = 10,
  kQint8 = 11,
  kQuint8 = 12,
  kQint32 = 13,
  kBfloat16 = 14,
  kQint16 = 15,
  kQuint16 = 16,
  kUint16 = 17,
  kComplex128 = 18,
  kHalf = 19,
  kResource = 20,
  kVariant = 21,
  kUint32 = 22,
  kUint64 = 23,
};

// Bytes of one element; 0 for strings and for types whose elements are no plain values.
size_t ElementBytes(DataType type);
// "float", "int64", "string": as TensorFlow's messages say it. "unknown" for a number that is no type.
std::string_view TypeName(DataType type);
// "DT_FLOAT": the name in protos and in the metadata reply. "DT_INVALID" for a number that is no type.
std::string_view ProtoTypeName(DataType type);

}  // namespace sagebrush::serving
