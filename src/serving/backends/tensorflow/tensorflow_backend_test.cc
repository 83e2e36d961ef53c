// Real TensorFlow on real models (tests/support/serving_models.py makes them; ./test names both folders).
#include "serving/backends/tensorflow/tensorflow_backend.h"

#include <gmock/gmock.h>

#include <cstdlib>

#include "io/file.h"
#include "serving/core/status.h"

namespace sagebrush::serving {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr size_t kFirst[] = {0};

class TensorFlowBackendTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    const char* models = std::getenv("SAGEBRUSH_SERVING_MODELS");
    Result<std::filesystem::path> library = FindTensorFlowLibrary();
    if (models == nullptr || !library) return;
    models_ = models;
    Result<std::unique_ptr<Backend>> backend = MakeTensorFlowBackend({.library_directory = *library});
    ASSERT_TRUE(backend) << backend.error().message;
    backend_ = backend->release();  // TensorFlow stays for the life of the process
  }
  void SetUp() override {
    if (backend_ == nullptr) GTEST_SKIP() << "set SAGEBRUSH_SERVING_MODELS and SAGEBRUSH_TENSORFLOW, as ./test does";
  }
  static std::unique_ptr<Session> Load(const std::string& model) {
    Result<std::unique_ptr<Session>> session = backend_->Load(models_ / model / "1");
    EXPECT_TRUE(session) << session.error().message;
    return session ? *std::move(session) : nullptr;
  }

  static inline std::filesystem::path models_;
  static inline Backend* backend_ = nullptr;
};

TEST_F(TensorFlowBackendTest, ComputesOnNumbersWithoutACopy) {
  std::unique_ptr<Session> session = Load("half_plus_two");
  Tensor x = Tensor::Numeric(DataType::kFloat, {3});
  std::ranges::copy(std::vector<float>{1, 2, 5}, x.mutable_values<float>().begin());
  Tensors inputs{x};
  Result<Tensors> outputs = session->Run(kDefaultSignature, inputs, kFirst);
  ASSERT_TRUE(outputs) << outputs.error().message;
  EXPECT_THAT((*outputs)[0].values<float>(), ElementsAre(2.5F, 3.0F, 4.5F));
  session.reset();  // the output stays valid
  EXPECT_THAT((*outputs)[0].values<float>(), ElementsAre(2.5F, 3.0F, 4.5F));
}

TEST_F(TensorFlowBackendTest, CarriesStringsOfAnyBytes) {
  std::unique_ptr<Session> session = Load("strings");
  const auto& names = session->signatures().at("serving_default").outputs;
  auto raw = static_cast<size_t>(std::distance(names.begin(), names.find("raw_bytes")));
  std::string long_text(1000, 'x');
  Tensors inputs{Tensor::Strings({2}, {std::string("a\0b", 3), long_text})};
  size_t outputs[] = {raw};
  Result<Tensors> answer = session->Run(kDefaultSignature, inputs, outputs);
  ASSERT_TRUE(answer) << answer.error().message;
  std::string tail("\0\xff", 2);
  EXPECT_THAT((*answer)[0].strings(), ElementsAre(std::string("a\0b", 3) + tail, long_text + tail));
}

TEST_F(TensorFlowBackendTest, AFailedRunKeepsTensorFlowsCodeAndHarmsNoOther) {
  std::unique_ptr<Session> session = Load("signatures");
  Tensor keys = Tensor::Numeric(DataType::kInt64, {1});
  keys.mutable_values<int64_t>()[0] = 99;
  Tensors inputs{keys};
  Result<Tensors> answer = session->Run("lookup", inputs, kFirst);
  ASSERT_FALSE(answer);
  EXPECT_EQ(CodeOf(answer.error()), CanonicalCode::kInvalidArgument);
  EXPECT_THAT(answer.error().message, HasSubstr("is not in [0, 10)"));
  Tensor good = Tensor::Numeric(DataType::kInt64, {1});
  good.mutable_values<int64_t>()[0] = 3;
  inputs = {good};
  answer = session->Run("lookup", inputs, kFirst);
  ASSERT_TRUE(answer);
  EXPECT_THAT((*answer)[0].values<int64_t>(), ElementsAre(103));
}

TEST_F(TensorFlowBackendTest, SaysWhatIsWrongWithAModel) {
  Result<std::unique_ptr<Session>> absent = backend_->Load(models_ / "no_such_model");
  ASSERT_FALSE(absent);
  EXPECT_THAT(absent.error().message, HasSubstr("no_such_model"));

  char name[] = "/tmp/sagebrush-serving-XXXXXX";
  std::filesystem::path damaged = ::mkdtemp(name);
  ASSERT_TRUE(io::WriteFile(damaged / "saved_model.pb", "not a protocol buffer"));
  EXPECT_FALSE(backend_->Load(damaged));
  std::filesystem::remove_all(damaged);
}

TEST(TensorFlowLibrary, AMissingOneIsNamedWithTheRemedy) {
  Result<std::unique_ptr<Backend>> backend = MakeTensorFlowBackend({.library_directory = "/nonexistent"});
  ASSERT_FALSE(backend);
  EXPECT_THAT(backend.error().message, HasSubstr("pip install tensorflow-cpu"));
}

}  // namespace
}  // namespace sagebrush::serving
