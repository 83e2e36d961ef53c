#include "serving/signature/signature.h"

#include "serving/signature/wire_format.h"

namespace sagebrush::serving {
namespace {

// Field numbers of tensorflow/core/protobuf/meta_graph.proto and tensorflow/core/framework/tensor_shape.proto.
constexpr uint32_t kMetaGraphSignatureDef = 5;
constexpr uint32_t kMapKey = 1, kMapValue = 2;
constexpr uint32_t kSignatureInputs = 1, kSignatureOutputs = 2, kSignatureMethodName = 3;
constexpr uint32_t kTensorInfoName = 1, kTensorInfoType = 2, kTensorInfoShape = 3;
constexpr uint32_t kShapeDim = 2, kShapeUnknownRank = 3, kDimSize = 1;

constexpr std::string_view kReservedPrefix = "__saved_model";

Error Broken() { return InvalidArgument("The SavedModel's MetaGraphDef is damaged: its signatures cannot be read."); }

bool ReadDimension(std::string_view bytes, Shape& shape) {
  int64_t size = 0;
  WireReader dimension(bytes);
  while (dimension.Next()) {
    if (dimension.field() == kDimSize) size = static_cast<int64_t>(dimension.number());
  }
  shape.push_back(size < 0 ? -1 : size);
  return dimension.ok();
}

bool ReadShape(std::string_view bytes, std::optional<Shape>& shape) {
  bool unknown_rank = false;
  shape.emplace();
  WireReader message(bytes);
  while (message.Next()) {
    if (message.field() == kShapeDim && !ReadDimension(message.bytes(), *shape)) return false;
    if (message.field() == kShapeUnknownRank) unknown_rank = message.number() != 0;
  }
  if (unknown_rank) shape.reset();
  return message.ok();
}

bool ReadTensorInfo(std::string_view bytes, TensorInfo& info) {
  info.shape.emplace();  // an absent shape is the default message: a scalar
  WireReader message(bytes);
  while (message.Next()) {
    if (message.field() == kTensorInfoName) info.name = message.bytes();
    if (message.field() == kTensorInfoType) info.type = static_cast<DataType>(message.number());
    if (message.field() == kTensorInfoShape && !ReadShape(message.bytes(), info.shape)) return false;
  }
  return message.ok();
}

// One entry of a map<string, Value>.
template <class Value, class Read>
bool ReadEntry(std::string_view bytes, std::map<std::string, Value, std::less<>>& to, Read read) {
  std::string key;
  std::string_view value;
  WireReader entry(bytes);
  while (entry.Next()) {
    if (entry.field() == kMapKey) key = entry.bytes();
    if (entry.field() == kMapValue) value = entry.bytes();
  }
  return entry.ok() && read(value, to[std::move(key)]);
}

bool ReadSignature(std::string_view bytes, Signature& signature) {
  WireReader message(bytes);
  while (message.Next()) {
    bool read = true;
    if (message.field() == kSignatureInputs) read = ReadEntry(message.bytes(), signature.inputs, ReadTensorInfo);
    if (message.field() == kSignatureOutputs) read = ReadEntry(message.bytes(), signature.outputs, ReadTensorInfo);
    if (message.field() == kSignatureMethodName) signature.method_name = message.bytes();
    if (!read) return false;
  }
  return message.ok();
}

}  // namespace

Result<SignatureMap> ReadSignatures(std::string_view meta_graph_def) {
  SignatureMap signatures;
  WireReader message(meta_graph_def);
  while (message.Next()) {
    if (message.field() != kMetaGraphSignatureDef) continue;
    if (!ReadEntry(message.bytes(), signatures, ReadSignature)) return Fail(Broken());
  }
  if (!message.ok()) return Fail(Broken());
  std::erase_if(signatures, [](const auto& entry) { return entry.first.starts_with(kReservedPrefix); });
  return signatures;
}

}  // namespace sagebrush::serving
