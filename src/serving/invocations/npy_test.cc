#include "serving/invocations/npy.h"

#include <gmock/gmock.h>
#include <rapidcheck.h>

#include "serving/testing/fake_models.h"

namespace sagebrush::serving {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::InputOf;
using testing::ModelWithInputs;

// A file as numpy.save writes it, format version 1.
std::string File(const std::string& header, const std::string& data) {
  std::string text = header + "\n";
  std::string file("\x93NUMPY\x01\x00", 8);
  file += static_cast<char>(text.size() & 0xFF);
  file += static_cast<char>(text.size() >> 8);
  return file + text + data;
}
std::string Header(const std::string& descr, const std::string& shape, bool fortran = false) {
  return "{'descr': '" + descr + "', 'fortran_order': " + (fortran ? "True" : "False") + ", 'shape': " + shape + ", }";
}
template <class T>
std::string Bytes(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

Tensor Parse(const std::string& file) {
  Result<Tensor> tensor = ParseNpy(file);
  EXPECT_TRUE(tensor) << tensor.error().message;
  return tensor.value_or(Tensor());
}
std::string Refusal(const std::string& file) {
  Result<Tensor> tensor = ParseNpy(file);
  EXPECT_FALSE(tensor);
  return tensor ? "" : tensor.error().message;
}

TEST(Npy, ReadsNumbersInBothOrders) {
  Tensor plain = Parse(File(Header("<f4", "(2, 3)"), Bytes<float>({1, 2, 3, 4, 5, 6})));
  EXPECT_EQ(plain.shape(), Shape({2, 3}));
  EXPECT_THAT(plain.values<float>(), ElementsAre(1, 2, 3, 4, 5, 6));
  Tensor columns = Parse(File(Header("<i4", "(2, 3)", true), Bytes<int32_t>({1, 4, 2, 5, 3, 6})));
  EXPECT_THAT(columns.values<int32_t>(), ElementsAre(1, 2, 3, 4, 5, 6));
  Tensor cube = Parse(File(Header("|u1", "(2, 2, 2)", true), Bytes<uint8_t>({0, 4, 2, 6, 1, 5, 3, 7})));
  EXPECT_THAT(cube.values<uint8_t>(), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
  Tensor big = Parse(File(Header(">i2", "(2,)"), std::string("\x00\x01\x01\x00", 4)));
  EXPECT_THAT(big.values<int16_t>(), ElementsAre(1, 256));
  EXPECT_THAT(Parse(File(Header("<f8", "()"), Bytes<double>({2.5}))).values<double>(), ElementsAre(2.5));
  EXPECT_THAT(Parse(File(Header("|b1", "(2,)"), std::string("\x00\x07", 2))).values<bool>(), ElementsAre(false, true));
  EXPECT_EQ(Parse(File(Header("<f4", "(0, 3)"), "")).shape(), Shape({0, 3}));
}

TEST(Npy, ReadsStrings) {
  EXPECT_THAT(Parse(File(Header("|S3", "(2,)"), std::string("ab\0xyz", 6))).strings(), ElementsAre("ab", "xyz"));
  std::vector<uint32_t> points{U'é', U'€', U'𝄞', 0};
  EXPECT_THAT(Parse(File(Header("<U2", "(2,)"), Bytes(points))).strings(), ElementsAre("é€", "𝄞"));
  Tensor columns = Parse(File(Header("|S1", "(2, 2)", true), "acbd"));
  EXPECT_THAT(columns.strings(), ElementsAre("a", "b", "c", "d"));
}

TEST(Npy, SaysWhatIsWrong) {
  EXPECT_THAT(Refusal(""), HasSubstr("no NumPy array file"));
  EXPECT_THAT(Refusal("{\"instances\": [1]}"), HasSubstr("no NumPy array file"));
  std::string file = File(Header("<f4", "(2,)"), Bytes<float>({1, 2}));
  EXPECT_THAT(Refusal(file.substr(0, 20)), HasSubstr("cut short within its header"));
  EXPECT_THAT(Refusal(file.substr(0, file.size() - 1)), HasSubstr("8 bytes of elements, and there are 7"));
  EXPECT_THAT(Refusal(File(Header("|O", "(2,)"), "")), HasSubstr("Python objects"));
  EXPECT_THAT(Refusal(File(Header("<M8[ns]", "(1,)"), "12345678")), HasSubstr("<M8[ns]"));
  EXPECT_THAT(Refusal(File("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", "1234")),
              HasSubstr("records"));
  EXPECT_THAT(Refusal(File("{'descr': '<f4', 'shape': (1,)}", "1234")), HasSubstr("lacks one"));
  EXPECT_THAT(Refusal(File(Header("<f4", "(-1,)"), "1234")), HasSubstr("header is damaged"));
  EXPECT_THAT(Refusal(File(Header("<f4", "(4611686018427387904, 4)"), "")), HasSubstr("too large"));
  EXPECT_THAT(Refusal(File(Header("|S0", "(1000000000,)"), "")), HasSubstr("no room"));
  file[6] = '\x09';
  EXPECT_THAT(Refusal(file), HasSubstr("version"));
}

TEST(Npy, WhatIsWrittenComesBack) {
  rc::check([](const std::vector<double>& values) {
    Tensor tensor = Tensor::Numeric(DataType::kDouble, {1, static_cast<int64_t>(values.size())});
    std::ranges::copy(values, tensor.mutable_values<double>().begin());
    Result<std::string> file = EncodeNpy(tensor);
    RC_ASSERT(file.has_value());
    RC_ASSERT(file->size() % 64 == (values.size() * 8) % 64);
    Result<Tensor> again = ParseNpy(*file);
    RC_ASSERT(again.has_value());
    RC_ASSERT(again->shape() == tensor.shape());
    RC_ASSERT(std::ranges::equal(again->values<double>(), values));
  });
  Result<std::string> strings = EncodeNpy(Tensor::Strings({2}, {"a", "long"}));
  ASSERT_TRUE(strings);
  EXPECT_THAT(Parse(*strings).strings(), ElementsAre("a", "long"));
  EXPECT_FALSE(EncodeNpy(Tensor::Numeric(DataType::kBfloat16, {1})));
}

TEST(Npy, ConvertsNumbersThatKeepTheirMeaning) {
  auto floats = ModelWithInputs({{"x", InputOf(DataType::kFloat, Shape{-1, 2})}});
  Result<DecodedPredict> decoded = DecodeNpy(File(Header("<f8", "(1, 2)"), Bytes<double>({0.5, 2})), floats);
  ASSERT_TRUE(decoded) << decoded.error().message;
  EXPECT_THAT(decoded->inputs[0].values<float>(), ElementsAre(0.5F, 2.0F));
  decoded = DecodeNpy(File(Header("<i8", "(2,)"), Bytes<int64_t>({3, 4})), floats);
  ASSERT_TRUE(decoded) << decoded.error().message;
  EXPECT_EQ(decoded->inputs[0].shape(), Shape({1, 2}));  // the only row

  auto bytes = ModelWithInputs({{"x", InputOf(DataType::kUint8, std::nullopt)}});
  decoded = DecodeNpy(File(Header("<i8", "(2,)"), Bytes<int64_t>({3, 300})), bytes);
  ASSERT_FALSE(decoded);
  EXPECT_THAT(decoded.error().message, HasSubstr("out of range"));
  decoded = DecodeNpy(File(Header("<f4", "(1,)"), Bytes<float>({3})), bytes);
  ASSERT_FALSE(decoded);
  EXPECT_THAT(decoded.error().message, HasSubstr("of type uint8, the array of type float"));
}

TEST(Npy, NeedsAModelWithOneInput) {
  auto model =
      ModelWithInputs({{"a", InputOf(DataType::kFloat, Shape{-1})}, {"b", InputOf(DataType::kFloat, Shape{-1})}});
  Result<DecodedPredict> decoded = DecodeNpy(File(Header("<f4", "(1,)"), Bytes<float>({3})), model);
  ASSERT_FALSE(decoded);
  EXPECT_THAT(decoded.error().message, HasSubstr("the model has 2 inputs"));
}

}  // namespace
}  // namespace sagebrush::serving
