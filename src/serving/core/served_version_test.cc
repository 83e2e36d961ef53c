#include "serving/core/served_version.h"

#include <gmock/gmock.h>

#include "serving/testing/fake_backend.h"

namespace sagebrush::serving {
namespace {

using ::testing::ElementsAre;
using testing::Floats;
using ::testing::HasSubstr;

Signature SignatureOf(Shape shape) {
  Signature signature;
  signature.inputs["x"] = {"x:0", DataType::kFloat, std::move(shape)};
  return signature;
}

TEST(CheckInputs, HoldsTensorsAgainstTheSignature) {
  Signature image = SignatureOf({-1, 2, 2});
  Tensors fits{Tensor::Numeric(DataType::kFloat, {7, 2, 2})};
  EXPECT_TRUE(CheckInputs(image, fits));
  Tensors type{Tensor::Numeric(DataType::kInt32, {7, 2, 2})};
  EXPECT_THAT(CheckInputs(image, type).error().message, HasSubstr("'x' has the type int32; the model expects float"));
  for (const Shape& shape : {Shape{2, 2}, Shape{1, 2, 3}, Shape{1, 2, 2, 1}, Shape{}}) {
    Tensors wrong{Tensor::Numeric(DataType::kFloat, shape)};
    EXPECT_THAT(CheckInputs(image, wrong).error().message, HasSubstr("the model expects [-1,2,2]"));
  }
}

TEST(CheckInputs, AColumnAdmitsWhatTensorFlowServingsExamplesSend) {
  Signature column = SignatureOf({-1, 1});
  for (const Shape& shape : {Shape{3}, Shape{2, 3}, Shape{3, 1}}) {
    Tensors inputs{Tensor::Numeric(DataType::kFloat, shape)};
    EXPECT_TRUE(CheckInputs(column, inputs));
  }
}

TEST(ServedVersion, IsQuickOnceItHasRunQuickly) {
  std::atomic<int> alive = 0;
  ServingMetrics metrics;
  ServedVersion version("m", 1, std::make_unique<testing::FakeSession>(1, alive), {}, metrics);
  EXPECT_FALSE(version.quick());
  // The measure halves with every run that is quicker than what it says.
  for (int run = 0; run < 100 && !version.quick(); ++run) {
    version.Run({.inputs = {Floats({1})}}, [](const Result<Tensors>& outputs) { ASSERT_TRUE(outputs); });
  }
  EXPECT_TRUE(version.quick());
  EXPECT_TRUE(ComputedByReceiver(version, 1000));
  EXPECT_FALSE(ComputedByReceiver(version, 1 << 20));
}

// A thread that waits for a batch to fill up must have nothing else to attend to.
TEST(ServedVersion, IsNeverQuickWhereBatchesAreWaitedFor) {
  std::atomic<int> alive = 0;
  ServingMetrics metrics;
  BatchingParameters waits{.batch_timeout = std::chrono::microseconds(1)};
  ServedVersion version("m", 1, std::make_unique<testing::FakeSession>(1, alive), waits, metrics);
  for (int run = 0; run < 100; ++run) {
    version.Run({.inputs = {Floats({1})}}, [](const Result<Tensors>& outputs) { ASSERT_TRUE(outputs); });
  }
  EXPECT_FALSE(version.quick());
}

TEST(ServedVersion, CountsRequestsAndBatchesByOutcome) {
  std::atomic<int> alive = 0;
  ServingMetrics metrics;
  ServedVersion version("m", 1, std::make_unique<testing::FakeSession>(1, alive), {}, metrics);
  Result<Tensors> answer = Fail(Internal("not called"));
  version.Run({.inputs = {Floats({1, 2})}}, [&](Result<Tensors> outputs) { answer = std::move(outputs); });
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_THAT((*answer)[0].values<float>(), ElementsAre(2, 3));
  version.Run({.inputs = {Floats({-1})}}, [&](Result<Tensors> outputs) { answer = std::move(outputs); });
  EXPECT_EQ(answer.error().message, "x is negative");
  version.Run({.inputs = {Floats({1})}, .context = {.abandoned = [] { return true; }}},
              [&](Result<Tensors> outputs) { answer = std::move(outputs); });
  EXPECT_EQ(answer.error().kind, ErrorKind::kCancelled);
  std::string text = metrics.Text();
  EXPECT_THAT(text, HasSubstr(R"(:tensorflow:serving:request_count{model_name="m",status="OK"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(:tensorflow:serving:request_count{model_name="m",status="INVALID_ARGUMENT"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(:tensorflow:serving:request_count{model_name="m",status="CANCELLED"} 1)"));
}

}  // namespace
}  // namespace sagebrush::serving
