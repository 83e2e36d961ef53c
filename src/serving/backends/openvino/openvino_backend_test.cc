// Real OpenVINO beside real TensorFlow in one process (./test names the folders).
#include "serving/backends/openvino/openvino_backend.h"

#include <gmock/gmock.h>

#include "serving/backends/automatic/automatic_backend.h"
#include "serving/backends/tensorflow/tensorflow_backend.h"
#include "serving/testing/fake_backend.h"

namespace sagebrush::serving {
namespace {

using ::testing::ElementsAre;
using testing::Floats;
using ::testing::HasSubstr;

class OpenVinoBackendTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* models = std::getenv("SAGEBRUSH_SERVING_MODELS");
    Result<std::filesystem::path> tensorflow = FindTensorFlowLibrary();
    Result<std::filesystem::path> openvino = tensorflow ? FindOpenVinoLibrary(*tensorflow) : tensorflow;
    if (models == nullptr || !openvino) GTEST_SKIP() << "set SAGEBRUSH_SERVING_MODELS and SAGEBRUSH_TENSORFLOW";
    models_ = models;
    auto backend = MakeOpenVinoBackend({.library_directory = *openvino});
    ASSERT_TRUE(backend) << backend.error().message;
    openvino_ = *std::move(backend);
    auto reference = MakeTensorFlowBackend({.library_directory = *tensorflow});
    ASSERT_TRUE(reference) << reference.error().message;
    tensorflow_ = *std::move(reference);
  }

  std::filesystem::path models_;
  std::unique_ptr<Backend> openvino_, tensorflow_;
};

TEST_F(OpenVinoBackendTest, ComputesAndKeepsEarlierAnswers) {
  auto session = openvino_->Load(models_ / "half_plus_two/1");
  ASSERT_TRUE(session) << session.error().message;
  const size_t first[] = {0};
  Tensors inputs{Floats({1, 2, 5})}, others{Floats({10})};
  auto answer = (*session)->Run(kDefaultSignature, inputs, first);
  ASSERT_TRUE(answer) << answer.error().message;
  auto later = (*session)->Run(kDefaultSignature, others, first);
  ASSERT_TRUE(later) << later.error().message;
  EXPECT_THAT((*answer)[0].values<float>(), ElementsAre(2.5F, 3.0F, 4.5F));
  EXPECT_THAT((*later)[0].values<float>(), ElementsAre(7.0F));
}

TEST_F(OpenVinoBackendTest, NamesWhatItCannotServe) {
  auto strings = openvino_->Load(models_ / "strings/1");
  ASSERT_FALSE(strings);
  EXPECT_THAT(strings.error().message, HasSubstr("numbers only"));
  auto absent = openvino_->Load(models_ / "absent");
  ASSERT_FALSE(absent);
}

TEST_F(OpenVinoBackendTest, AutomaticTakesItWhereItAgreesAndTensorFlowWhereNot) {
  std::unique_ptr<Backend> automatic = MakeAutomaticBackend(std::move(tensorflow_), std::move(openvino_));
  auto digits = automatic->Load(models_ / "digits/1");
  ASSERT_TRUE(digits) << digits.error().message;
  EXPECT_EQ((*digits)->backend_name(), "openvino");
  auto strings = automatic->Load(models_ / "strings/1");
  ASSERT_TRUE(strings) << strings.error().message;
  EXPECT_EQ((*strings)->backend_name(), "tensorflow");
  auto several = automatic->Load(models_ / "signatures/1");
  ASSERT_TRUE(several) << several.error().message;
  EXPECT_EQ((*several)->signatures().size(), 3);
  Tensor key = Tensor::Numeric(DataType::kInt64, {1});
  key.mutable_values<int64_t>()[0] = 4;
  const size_t first[] = {0};
  auto answer = (*several)->Run("lookup", std::span(&key, 1), first);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_THAT((*answer)[0].values<int64_t>(), ElementsAre(104));
}

TEST(AutomaticBackendTest, AModelThatAnswersOtherwiseIsNotTrusted) {
  struct Fixed final : public Backend {
    explicit Fixed(float addend) : addend(addend) {}
    std::string_view name() const override { return "fixed"; }
    Result<std::unique_ptr<Session>> Load(const std::filesystem::path&) override {
      return std::make_unique<testing::FakeSession>(addend, alive);
    }
    float addend;
    std::atomic<int> alive = 0;
  };
  auto truth = std::make_unique<Fixed>(1.0F), lie = std::make_unique<Fixed>(1.1F);
  std::atomic<int>& lies = lie->alive;
  std::unique_ptr<Backend> automatic = MakeAutomaticBackend(std::move(truth), std::move(lie));
  auto session = automatic->Load("/");
  ASSERT_TRUE(session);
  EXPECT_EQ(lies, 0) << "the session that was not taken is gone";
  const size_t first[] = {0};
  Tensors inputs{Floats({1})};
  EXPECT_THAT((*(*session)->Run(kDefaultSignature, inputs, first))[0].values<float>(), ElementsAre(2.0F));
}

}  // namespace
}  // namespace sagebrush::serving
