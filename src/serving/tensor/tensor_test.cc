#include "serving/tensor/tensor.h"

#include <gmock/gmock.h>

namespace sagebrush::serving {
namespace {

using ::testing::ElementsAre;

Tensor Floats(Shape shape, std::vector<float> values) {
  Tensor tensor = Tensor::Numeric(DataType::kFloat, std::move(shape));
  std::copy(values.begin(), values.end(), tensor.mutable_values<float>().begin());
  return tensor;
}

TEST(Tensor, IsAlignedForTensorFlow) {
  for (int64_t size : {0, 1, 17, 1000}) {
    Tensor tensor = Tensor::Numeric(DataType::kUint8, {size});
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.data()) % kTensorAlignment, 0U);
    EXPECT_EQ(tensor.byte_size(), static_cast<size_t>(size));
  }
}

TEST(Tensor, RowsShareTheElements) {
  Tensor tensor = Floats({3, 2}, {1, 2, 3, 4, 5, 6});
  Tensor rows = tensor.Rows(1, 3);
  EXPECT_EQ(rows.shape(), (Shape{2, 2}));
  EXPECT_THAT(rows.values<float>(), ElementsAre(3, 4, 5, 6));
  EXPECT_EQ(static_cast<const void*>(rows.data()), tensor.data() + 2 * sizeof(float));
  EXPECT_EQ(tensor.Rows(1, 1).element_count(), 0);
}

TEST(Tensor, ConcatenationIsUndoneByRows) {
  std::vector<Tensor> parts{Floats({1, 2}, {1, 2}), Floats({2, 2}, {3, 4, 5, 6})};
  Result<Tensor> joined = Concatenate(parts);
  ASSERT_TRUE(joined);
  EXPECT_EQ(joined->shape(), (Shape{3, 2}));
  EXPECT_THAT(joined->Rows(1, 3).values<float>(), ElementsAre(3, 4, 5, 6));

  std::vector<Tensor> texts{Tensor::Strings({1}, {"a"}), Tensor::Strings({2}, {"b", "c"})};
  joined = Concatenate(texts);
  ASSERT_TRUE(joined);
  EXPECT_THAT(joined->Rows(1, 3).strings(), ElementsAre("b", "c"));
}

TEST(Tensor, UnlikePartsAreRefused) {
  std::vector<Tensor> shapes{Floats({1, 2}, {1, 2}), Floats({1, 1}, {3})};
  EXPECT_FALSE(Concatenate(shapes));
  std::vector<Tensor> types{Floats({1}, {1}), Tensor::Numeric(DataType::kInt32, {1})};
  EXPECT_FALSE(Concatenate(types));
  std::vector<Tensor> scalars{Floats({}, {1})};
  EXPECT_FALSE(Concatenate(scalars));
}

TEST(Tensor, CountsWithoutOverflow) {
  EXPECT_EQ(ElementCount(Shape{}), 1);
  EXPECT_EQ(ElementCount(Shape{2, 0, 5}), 0);
  EXPECT_EQ(ElementCount(Shape{-1, 2}), std::nullopt);
  EXPECT_EQ(ElementCount(Shape{INT64_MAX, 2}), std::nullopt);
}

}  // namespace
}  // namespace sagebrush::serving
