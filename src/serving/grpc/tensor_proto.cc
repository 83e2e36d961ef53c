#include "serving/grpc/tensor_proto.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "serving/core/status.h"
#include "serving/signature/wire_format.h"

namespace sagebrush::serving {
namespace {

using ::google::protobuf::RepeatedField;
using ::google::protobuf::RepeatedPtrField;
using ::tensorflow::TensorProto;

constexpr int kMostDimensions = 254;  // TensorFlow's own limit

Result<Shape> ShapeFromProto(const ::tensorflow::TensorShapeProto& proto) {
  if (proto.unknown_rank()) return Fail(InvalidArgument("its shape has an unknown rank"));
  if (proto.dim_size() > kMostDimensions) {
    return Fail(
        InvalidArgument(fmt::format("its shape has {} dimensions, more than {}", proto.dim_size(), kMostDimensions)));
  }
  Shape shape;
  for (const auto& dim : proto.dim()) shape.push_back(dim.size());
  if (!ElementCount(shape)) return Fail(InvalidArgument("its shape " + ShapeText(shape) + " is not valid"));
  return shape;
}

// Whether `given` elements may stand for a tensor of `count`.
Result<void> CheckImplied(int64_t count, int64_t given, size_t element_bytes) {
  if (given >= count || static_cast<uint64_t>(count) <= kMostImpliedBytes / element_bytes) return {};
  return Fail(
      ErrorOf(CanonicalCode::kResourceExhausted,
              fmt::format("its shape says {} elements and only {} are given; send tensors of more than {} bytes "
                          "whole",
                          count, given, kMostImpliedBytes)));
}

// kParts numbers of the list make one element: two for complex ones.
template <class Part, int kParts = 1, class Listed>
Result<Tensor> FromList(DataType type, Shape shape, const RepeatedField<Listed>& list) {
  int64_t count = *ElementCount(shape);
  TRYV(CheckImplied(count, list.size() / kParts, sizeof(Part) * kParts));
  Tensor tensor = Tensor::Numeric(type, std::move(shape));
  std::span<Part> parts(reinterpret_cast<Part*>(tensor.mutable_data()), static_cast<size_t>(count) * kParts);
  size_t given = std::min(static_cast<size_t>(list.size() / kParts * kParts), parts.size());
  std::transform(list.begin(), list.begin() + static_cast<ptrdiff_t>(given), parts.begin(),
                 [](Listed value) { return static_cast<Part>(value); });
  for (size_t index = given; index < parts.size(); ++index) parts[index] = given == 0 ? Part{} : parts[index - kParts];
  return tensor;
}

Result<Tensor> FromStrings(Shape shape, const RepeatedPtrField<std::string>& list) {
  int64_t count = *ElementCount(shape);
  TRYV(CheckImplied(count, list.size(), sizeof(std::string) + (list.empty() ? 0 : list.rbegin()->size())));
  auto given = std::min<ptrdiff_t>(list.size(), count);
  std::vector<std::string> elements(list.begin(), list.begin() + given);
  elements.resize(static_cast<size_t>(count), given == 0 ? std::string() : list[static_cast<int>(given) - 1]);
  return Tensor::Strings(std::move(shape), std::move(elements));
}

// All lengths as varints, then all bytes.
Result<Tensor> FromStringContent(Shape shape, std::string_view content) {
  auto count = static_cast<size_t>(*ElementCount(shape));
  Error broken = InvalidArgument("its tensor_content does not hold " + std::to_string(count) + " strings");
  if (count > content.size()) return Fail(broken);
  std::vector<uint64_t> lengths(count);
  for (uint64_t& length : lengths) {
    std::optional<uint64_t> read = WireReader::TakeVarint(content);
    if (!read) return Fail(broken);
    length = *read;
  }
  std::vector<std::string> elements;
  elements.reserve(count);
  for (uint64_t length : lengths) {
    if (length > content.size()) return Fail(broken);
    elements.emplace_back(content.substr(0, length));
    content.remove_prefix(length);
  }
  if (!content.empty()) return Fail(broken);
  return Tensor::Strings(std::move(shape), std::move(elements));
}

Result<Tensor> FromContent(DataType type, Shape shape, std::string_view content) {
  if (type == DataType::kString) return FromStringContent(std::move(shape), content);
  auto count = static_cast<uint64_t>(*ElementCount(shape));
  if (content.size() % ElementBytes(type) != 0 || content.size() / ElementBytes(type) != count) {
    return Fail(InvalidArgument(fmt::format("its tensor_content has {} bytes, which are not {} elements of {}",
                                            content.size(), count, TypeName(type))));
  }
  Tensor tensor = Tensor::Numeric(type, std::move(shape));
  std::memcpy(tensor.mutable_data(), content.data(), content.size());
  if (type == DataType::kBool) {  // any other byte would be no valid bool
    for (uint8_t& value : tensor.mutable_values<uint8_t>()) value = value != 0;
  }
  return tensor;
}

Result<Tensor> FromLists(DataType type, Shape shape, const TensorProto& proto) {
  switch (type) {
    case DataType::kFloat:
      return FromList<float>(type, std::move(shape), proto.float_val());
    case DataType::kDouble:
      return FromList<double>(type, std::move(shape), proto.double_val());
    case DataType::kInt32:
    case DataType::kQint32:
      return FromList<int32_t>(type, std::move(shape), proto.int_val());
    case DataType::kUint8:
    case DataType::kQuint8:
      return FromList<uint8_t>(type, std::move(shape), proto.int_val());
    case DataType::kInt8:
    case DataType::kQint8:
      return FromList<int8_t>(type, std::move(shape), proto.int_val());
    case DataType::kInt16:
    case DataType::kQint16:
      return FromList<int16_t>(type, std::move(shape), proto.int_val());
    case DataType::kUint16:
    case DataType::kQuint16:
      return FromList<uint16_t>(type, std::move(shape), proto.int_val());
    case DataType::kHalf:
    case DataType::kBfloat16:
      return FromList<uint16_t>(type, std::move(shape), proto.half_val());
    case DataType::kUint32:
      return FromList<uint32_t>(type, std::move(shape), proto.uint32_val());
    case DataType::kUint64:
      return FromList<uint64_t>(type, std::move(shape), proto.uint64_val());
    case DataType::kInt64:
      return FromList<int64_t>(type, std::move(shape), proto.int64_val());
    case DataType::kBool:
      return FromList<bool>(type, std::move(shape), proto.bool_val());
    case DataType::kComplex64:
      return FromList<float, 2>(type, std::move(shape), proto.scomplex_val());
    case DataType::kComplex128:
      return FromList<double, 2>(type, std::move(shape), proto.dcomplex_val());
    case DataType::kString:
      return FromStrings(std::move(shape), proto.string_val());
    case DataType::kInvalid:
    case DataType::kResource:
    case DataType::kVariant:
      break;
  }
  return Fail(InvalidArgument("its dtype cannot be sent"));
}

template <class Part, class Listed>
void ToList(const Tensor& tensor, RepeatedField<Listed>* list) {
  const auto* parts = reinterpret_cast<const Part*>(tensor.data());
  list->Add(parts, parts + tensor.byte_size() / sizeof(Part));
}

}  // namespace

Result<Tensor> TensorFromProto(const TensorProto& proto) {
  auto type = static_cast<DataType>(proto.dtype());
  if (type != DataType::kString && ElementBytes(type) == 0) {
    return Fail(InvalidArgument(fmt::format("its dtype {} cannot be sent", static_cast<int>(proto.dtype()))));
  }
  TRY(Shape shape, ShapeFromProto(proto.tensor_shape()));
  if (proto.tensor_content().empty()) return FromLists(type, std::move(shape), proto);
  return FromContent(type, std::move(shape), proto.tensor_content());
}

void TensorToProto(const Tensor& tensor, TensorProto* proto) {
  proto->set_dtype(static_cast<::tensorflow::DataType>(tensor.type()));
  for (int64_t size : tensor.shape()) proto->mutable_tensor_shape()->add_dim()->set_size(size);
  proto->mutable_tensor_shape();  // a scalar's shape is there, and empty
  switch (tensor.type()) {
    case DataType::kFloat:
      return ToList<float>(tensor, proto->mutable_float_val());
    case DataType::kDouble:
      return ToList<double>(tensor, proto->mutable_double_val());
    case DataType::kInt32:
    case DataType::kQint32:
      return ToList<int32_t>(tensor, proto->mutable_int_val());
    case DataType::kUint8:
    case DataType::kQuint8:
      return ToList<uint8_t>(tensor, proto->mutable_int_val());
    case DataType::kInt8:
    case DataType::kQint8:
      return ToList<int8_t>(tensor, proto->mutable_int_val());
    case DataType::kInt16:
    case DataType::kQint16:
      return ToList<int16_t>(tensor, proto->mutable_int_val());
    case DataType::kUint16:
    case DataType::kQuint16:
      return ToList<uint16_t>(tensor, proto->mutable_int_val());
    case DataType::kHalf:
    case DataType::kBfloat16:
      return ToList<uint16_t>(tensor, proto->mutable_half_val());
    case DataType::kUint32:
      return ToList<uint32_t>(tensor, proto->mutable_uint32_val());
    case DataType::kUint64:
      return ToList<uint64_t>(tensor, proto->mutable_uint64_val());
    case DataType::kInt64:
      return ToList<int64_t>(tensor, proto->mutable_int64_val());
    case DataType::kBool:
      return ToList<bool>(tensor, proto->mutable_bool_val());
    case DataType::kComplex64:
      return ToList<float>(tensor, proto->mutable_scomplex_val());
    case DataType::kComplex128:
      return ToList<double>(tensor, proto->mutable_dcomplex_val());
    case DataType::kString:
      for (const std::string& element : tensor.strings()) proto->add_string_val(element);
      return;
    case DataType::kInvalid:
    case DataType::kResource:
    case DataType::kVariant:
      BUG_IF(true);  // no Tensor holds such elements
  }
}

}  // namespace sagebrush::serving
