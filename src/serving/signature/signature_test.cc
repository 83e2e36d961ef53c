#include "serving/signature/signature.h"

#include <gmock/gmock.h>

#include "serving/signature/wire_format.h"

namespace sagebrush::serving {
namespace {

using ::testing::ElementsAre;
using ::testing::Key;

std::string Dimension(int64_t size) { return WireWriter().Varint(1, static_cast<uint64_t>(size)).Take(); }

std::string TensorInfoBytes(std::string_view name, DataType type, std::string_view shape) {
  return WireWriter().Bytes(1, name).Varint(2, static_cast<uint64_t>(type)).Bytes(3, shape).Take();
}

std::string Entry(std::string_view key, std::string_view value) {
  return WireWriter().Bytes(1, key).Bytes(2, value).Take();
}

std::string MetaGraph(std::string_view name, std::string_view signature) {
  return WireWriter().Bytes(2, "a graph to be stepped over").Bytes(5, Entry(name, signature)).Take();
}

TEST(Signature, IsReadWithItsTensors) {
  std::string shape = WireWriter().Bytes(2, Dimension(-1)).Bytes(2, Dimension(28)).Take();
  std::string unknown = WireWriter().Varint(3, 1).Take();
  std::string signature = WireWriter()
                              .Bytes(1, Entry("image", TensorInfoBytes("x:0", DataType::kFloat, shape)))
                              .Bytes(2, Entry("scores", TensorInfoBytes("Identity:1", DataType::kDouble, unknown)))
                              .Bytes(3, kPredictMethod)
                              .Take();
  Result<SignatureMap> read = ReadSignatures(MetaGraph("serving_default", signature));
  ASSERT_TRUE(read) << read.error().message;
  ASSERT_THAT(*read, ElementsAre(Key("serving_default")));
  const Signature& found = read->at("serving_default");
  EXPECT_EQ(found.method_name, kPredictMethod);
  const TensorInfo& image = found.inputs.at("image");
  EXPECT_EQ(image.name, "x:0");
  EXPECT_EQ(image.type, DataType::kFloat);
  EXPECT_EQ(image.shape, (Shape{-1, 28}));
  EXPECT_EQ(found.outputs.at("scores").shape, std::nullopt);
}

TEST(Signature, TensorFlowsOwnAreHidden) {
  Result<SignatureMap> read = ReadSignatures(MetaGraph("__saved_model_init_op", ""));
  ASSERT_TRUE(read);
  EXPECT_TRUE(read->empty());
}

TEST(Signature, EveryCutOfAMessageIsReadOrRefused) {
  std::string whole = MetaGraph(
      "s", WireWriter().Bytes(1, Entry("a", TensorInfoBytes("x:0", DataType::kFloat, WireWriter().Take()))).Take());
  int refused = 0;
  for (size_t size = 0; size < whole.size(); ++size) {
    Result<SignatureMap> read = ReadSignatures(std::string_view(whole).substr(0, size));
    if (!read) {
      EXPECT_EQ(read.error().kind, ErrorKind::kInvalidArgument);
      ++refused;
    }
  }
  EXPECT_GT(refused, static_cast<int>(whole.size()) / 2);
}

}  // namespace
}  // namespace sagebrush::serving
