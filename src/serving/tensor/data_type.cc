#include "serving/tensor/data_type.h"

#include <array>

namespace sagebrush::serving {
namespace {

struct TypeFacts {
  size_t bytes;
  std::string_view name, proto_name;
};

constexpr std::array<TypeFacts, 24> kFacts{{
    {0, "unknown", "DT_INVALID"},
    {4, "float", "DT_FLOAT"},
    {8, "double", "DT_DOUBLE"},
    {4, "int32", "DT_INT32"},
    {1, "uint8", "DT_UINT8"},
    {2, "int16", "DT_INT16"},
    {1, "int8", "DT_INT8"},
    {0, "string", "DT_STRING"},
    {8, "complex64", "DT_COMPLEX64"},
    {8, "int64", "DT_INT64"},
    {1, "bool", "DT_BOOL"},
    {1, "qint8", "DT_QINT8"},
    {1, "quint8", "DT_QUINT8"},
    {4, "qint32", "DT_QINT32"},
    {2, "bfloat16", "DT_BFLOAT16"},
    {2, "qint16", "DT_QINT16"},
    {2, "quint16", "DT_QUINT16"},
    {2, "uint16", "DT_UINT16"},
    {16, "complex128", "DT_COMPLEX128"},
    {2, "half", "DT_HALF"},
    {0, "resource", "DT_RESOURCE"},
    {0, "variant", "DT_VARIANT"},
    {4, "uint32", "DT_UINT32"},
    {8, "uint64", "DT_UINT64"},
}};

const TypeFacts& Facts(DataType type) {
  auto index = static_cast<size_t>(type);
  return kFacts[index < kFacts.size() ? index : 0];
}

}  // namespace

size_t ElementBytes(DataType type) { return Facts(type).bytes; }
std::string_view TypeName(DataType type) { return Facts(type).name; }
std::string_view ProtoTypeName(DataType type) { return Facts(type).proto_name; }

}  // namespace sagebrush::serving
