#include "serving/grpc/tensor_proto.h"

#include <gmock/gmock.h>
#include <rapidcheck.h>

#include "serving/core/status.h"

namespace sagebrush::serving {
namespace {

using ::tensorflow::TensorProto;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TensorProto Proto(::tensorflow::DataType type, std::vector<int64_t> shape) {
  TensorProto proto;
  proto.set_dtype(type);
  for (int64_t size : shape) proto.mutable_tensor_shape()->add_dim()->set_size(size);
  return proto;
}

constexpr ::tensorflow::DataType kSent[] = {
    ::tensorflow::DT_FLOAT,     ::tensorflow::DT_DOUBLE,   ::tensorflow::DT_INT32,  ::tensorflow::DT_UINT8,
    ::tensorflow::DT_INT16,     ::tensorflow::DT_INT8,     ::tensorflow::DT_STRING, ::tensorflow::DT_COMPLEX64,
    ::tensorflow::DT_INT64,     ::tensorflow::DT_BOOL,     ::tensorflow::DT_QINT8,  ::tensorflow::DT_QUINT8,
    ::tensorflow::DT_QINT32,    ::tensorflow::DT_BFLOAT16, ::tensorflow::DT_QINT16, ::tensorflow::DT_QUINT16,
    ::tensorflow::DT_UINT16,    ::tensorflow::DT_HALF,     ::tensorflow::DT_UINT32, ::tensorflow::DT_UINT64,
    ::tensorflow::DT_COMPLEX128};

TEST(TensorProto, ContentOfEveryTypeComesBackThroughTheLists) {
  ASSERT_TRUE(rc::check("tensor_content → Tensor → *_val → Tensor keeps every byte", [] {
    auto type = *rc::gen::elementOf(std::vector(std::begin(kSent), std::end(kSent)));
    auto rows = *rc::gen::inRange<int64_t>(0, 5);
    TensorProto proto = Proto(type, {rows, 3});
    if (type == ::tensorflow::DT_STRING) {
      for (int64_t index = 0; index < rows * 3; ++index) proto.add_string_val(*rc::gen::arbitrary<std::string>());
    } else {
      size_t bytes = static_cast<size_t>(rows * 3) * ElementBytes(static_cast<DataType>(type));
      auto any = *rc::gen::container<std::string>(bytes, rc::gen::arbitrary<char>());
      if (type == ::tensorflow::DT_BOOL) std::ranges::for_each(any, [](char& byte) { byte &= 1; });
      proto.set_tensor_content(any);
    }
    Result<Tensor> tensor = TensorFromProto(proto);
    RC_ASSERT(tensor.has_value());
    TensorProto listed;
    TensorToProto(*tensor, &listed);
    RC_ASSERT(listed.tensor_content().empty());
    Result<Tensor> again = TensorFromProto(listed);
    RC_ASSERT(again.has_value());
    RC_ASSERT(again->type() == tensor->type() && again->shape() == tensor->shape());
    if (type == ::tensorflow::DT_STRING) {
      RC_ASSERT(std::ranges::equal(again->strings(), proto.string_val()));
    } else {
      RC_ASSERT(std::string_view(reinterpret_cast<const char*>(again->data()), again->byte_size()) ==
                proto.tensor_content());
    }
  }));
}

TEST(TensorProto, AShortListRepeatsItsLastElement) {
  TensorProto floats = Proto(::tensorflow::DT_FLOAT, {2, 2});
  floats.add_float_val(1);
  floats.add_float_val(7);
  EXPECT_THAT(TensorFromProto(floats)->values<float>(), ElementsAre(1, 7, 7, 7));

  TensorProto complex = Proto(::tensorflow::DT_COMPLEX64, {2});
  for (float part : {1.0F, 2.0F}) complex.add_scomplex_val(part);
  Tensor pairs = *TensorFromProto(complex);
  const auto* parts = reinterpret_cast<const float*>(pairs.data());
  EXPECT_THAT(std::span(parts, 4), ElementsAre(1, 2, 1, 2));

  TensorProto texts = Proto(::tensorflow::DT_STRING, {3});
  texts.add_string_val("a");
  EXPECT_THAT(TensorFromProto(texts)->strings(), ElementsAre("a", "a", "a"));
}

TEST(TensorProto, AnEmptyListIsZerosAndALongOneIsCut) {
  EXPECT_THAT(TensorFromProto(Proto(::tensorflow::DT_INT64, {2}))->values<int64_t>(), ElementsAre(0, 0));
  EXPECT_THAT(TensorFromProto(Proto(::tensorflow::DT_STRING, {2}))->strings(), ElementsAre("", ""));
  TensorProto longer = Proto(::tensorflow::DT_INT8, {});
  longer.add_int_val(-3);
  longer.add_int_val(4);
  EXPECT_THAT(TensorFromProto(longer)->values<int8_t>(), ElementsAre(-3));
}

TEST(TensorProto, StringsMayComeAsContent) {
  TensorProto proto = Proto(::tensorflow::DT_STRING, {2});
  proto.set_tensor_content(std::string("\x01\x03zabc", 6));
  EXPECT_THAT(TensorFromProto(proto)->strings(), ElementsAre("z", "abc"));
  for (const char* broken : {"\x01", "\x01\x05zabc", "\x01\x01zabc"}) {
    proto.set_tensor_content(broken);
    EXPECT_THAT(TensorFromProto(proto).error().message, HasSubstr("does not hold 2 strings"));
  }
}

TEST(TensorProto, WhatCannotBeReadIsRefused) {
  TensorProto content = Proto(::tensorflow::DT_FLOAT, {2});
  content.set_tensor_content("12345");
  EXPECT_THAT(TensorFromProto(content).error().message, HasSubstr("5 bytes, which are not 2 elements of float"));
  EXPECT_FALSE(TensorFromProto(Proto(::tensorflow::DT_FLOAT, {-1})));
  EXPECT_FALSE(TensorFromProto(Proto(::tensorflow::DT_FLOAT, {INT64_MAX, 2})));
  EXPECT_FALSE(TensorFromProto(Proto(::tensorflow::DT_RESOURCE, {})));
  EXPECT_FALSE(TensorFromProto(Proto(static_cast<::tensorflow::DataType>(99), {})));
  TensorProto unknown = Proto(::tensorflow::DT_FLOAT, {});
  unknown.mutable_tensor_shape()->set_unknown_rank(true);
  EXPECT_FALSE(TensorFromProto(unknown));
}

TEST(TensorProto, AFewBytesCannotStandForAllMemory) {
  for (auto type : {::tensorflow::DT_FLOAT, ::tensorflow::DT_STRING, ::tensorflow::DT_COMPLEX128}) {
    Result<Tensor> tensor = TensorFromProto(Proto(type, {INT64_MAX}));
    ASSERT_FALSE(tensor);
    EXPECT_EQ(CodeOf(tensor.error()), CanonicalCode::kResourceExhausted);
  }
}

}  // namespace
}  // namespace sagebrush::serving
