// Arbitrary bytes as a MetaGraphDef: never a crash, and the signatures that are read survive being written and read
// again.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "serving/signature/signature.h"
#include "serving/signature/wire_format.h"

namespace {

using namespace sagebrush::serving;
using Tensors = std::map<std::string, TensorInfo, std::less<>>;

std::string ShapeBytes(const std::optional<Shape>& shape) {
  WireWriter message;
  if (!shape) return message.Varint(3, 1).Take();
  for (int64_t size : *shape) {
    CHECK(size >= -1);
    message.Bytes(2, WireWriter().Varint(1, static_cast<uint64_t>(size)).bytes());
  }
  return message.Take();
}

void WriteTensors(const Tensors& tensors, uint32_t field, WireWriter& signature) {
  for (const auto& [alias, info] : tensors) {
    std::string value = WireWriter()
                            .Bytes(1, info.name)
                            .Varint(2, static_cast<uint64_t>(info.type))
                            .Bytes(3, ShapeBytes(info.shape))
                            .Take();
    signature.Bytes(field, WireWriter().Bytes(1, alias).Bytes(2, value).bytes());
  }
}

std::string MetaGraph(const SignatureMap& signatures) {
  WireWriter message;
  for (const auto& [name, signature] : signatures) {
    WireWriter value;
    WriteTensors(signature.inputs, 1, value);
    WriteTensors(signature.outputs, 2, value);
    value.Bytes(3, signature.method_name);
    message.Bytes(5, WireWriter().Bytes(1, name).Bytes(2, value.bytes()).bytes());
  }
  return message.Take();
}

bool Same(const Tensors& a, const Tensors& b) {
  return std::ranges::equal(a, b, [](const auto& one, const auto& other) {
    const TensorInfo &left = one.second, &right = other.second;
    return one.first == other.first && left.name == right.name && left.type == right.type && left.shape == right.shape;
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto signatures = ReadSignatures({reinterpret_cast<const char*>(data), size});
  if (!signatures) return 0;
  auto again = ReadSignatures(MetaGraph(*signatures));
  CHECK(again && again->size() == signatures->size());
  for (const auto& [name, signature] : *signatures) {
    CHECK(!name.starts_with("__saved_model"));
    const Signature& other = again->at(name);
    CHECK(Same(signature.inputs, other.inputs) && Same(signature.outputs, other.outputs));
    CHECK(signature.method_name == other.method_name);
  }
  return 0;
}
