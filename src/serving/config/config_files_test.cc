#include "serving/config/config_files.h"

#include <gmock/gmock.h>

#include "io/file.h"

namespace sagebrush::serving {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ConfigFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/sagebrush-config-XXXXXX";
    file_ = std::filesystem::path(::mkdtemp(name)) / "some.config";
  }
  void TearDown() override { std::filesystem::remove_all(file_.parent_path()); }
  const std::filesystem::path& Write(std::string_view text) {
    EXPECT_TRUE(io::WriteFile(file_, text));
    return file_;
  }

  std::filesystem::path file_;
};

TEST_F(ConfigFilesTest, ModelsWithPoliciesAndLabels) {
  Result<std::vector<ModelConfig>> read = ReadModelConfigFile(Write(R"(
    model_config_list {
      config { name: 'a' base_path: '/models/a' model_platform: 'tensorflow' }  # the newest
      config { name: "b" base_path: "/models/b" model_version_policy { latest { num_versions: 2 } } }
      config: { name: "c", base_path: "/models/c", model_version_policy: { all: {} } }
      config { name: "d" base_path: "/models/d" model_type: TENSORFLOW
               model_version_policy { specific { versions: 3 versions: 5 } }
               version_labels { key: 'stable' value: 3 } version_labels { key: 'canary' value: 5 } }
    })"));
  ASSERT_TRUE(read) << read.error().message;
  ASSERT_EQ(read->size(), 4U);
  EXPECT_EQ((*read)[0].name, "a");
  EXPECT_EQ((*read)[0].base_path, "/models/a");
  EXPECT_EQ(std::get<LatestVersions>((*read)[0].policy).count, 1U);
  EXPECT_EQ(std::get<LatestVersions>((*read)[1].policy).count, 2U);
  EXPECT_TRUE(std::holds_alternative<AllVersions>((*read)[2].policy));
  EXPECT_THAT(std::get<SpecificVersions>((*read)[3].policy).versions, ElementsAre(3, 5));
  EXPECT_EQ((*read)[3].labels, (std::map<std::string, int64_t>{{"stable", 3}, {"canary", 5}}));
}

TEST_F(ConfigFilesTest, ModelErrorsNameFileAndLine) {
  std::vector<std::pair<std::string, std::string>> cases{
      {"model_config_list {\n  config { nme: 'a' }\n}",
       ":2:15: Message type \"tensorflow.serving.ModelConfig\" has no"},
      {"model_config_list {\n  config { name: 'a' base_path: '/a' }\n  config { name: 'b' }\n}",
       ":3: model b has no base_path"},
      {"model_config_list {\n  config { base_path: '/a' }\n}", ":2: the model has no name"},
      {"model_config_list {\n\n  config { name: 'a' base_path: '/a' model_platform: 'onnx' }\n}",
       ":3: model_platform \"onnx\" must be \"tensorflow\""},
      {"model_config_list { config { name: 'a' base_path: '/a' model_type: OTHER } }",
       ":1: model_type must be TENSORFLOW"},
      {"model_config_list { config { name: 'a' base_path: '/a' model_version_policy { specific { } } } }",
       ":1: model_version_policy.specific names no version"},
      {"model_config_list { config { name: 'a' base_path: '/a' version_labels { key: 'x' value: -1 } } }",
       ":1: version -1 is negative"},
      {"model_config_list { config { name: 'a' base_path: '/a' logging_config { } } }",
       ":1: logging_config of model a"},
      {"", ": ServerModelConfig type not supported"},
  };
  for (const auto& [text, message] : cases) {
    Result<std::vector<ModelConfig>> read = ReadModelConfigFile(Write(text));
    ASSERT_FALSE(read) << text;
    EXPECT_THAT(read.error().message, ::testing::StartsWith(file_.native() + message)) << text;
  }
  EXPECT_EQ(ReadModelConfigFile("/nonexistent/models.config").error().kind, ErrorKind::kNotFound);
}

TEST_F(ConfigFilesTest, BatchingParameters) {
  Result<BatchingParameters> read = ReadBatchingParametersFile(Write(R"(
    max_batch_size { value: 128 } batch_timeout_micros { value: 1500 } max_enqueued_batches { value: 100000000 }
    num_batch_threads { value: 8 } thread_pool_name { value: "pool" } pad_variable_length_inputs: true
    allowed_batch_sizes: 8 allowed_batch_sizes: 64
    enable_large_batch_splitting { value: true } max_execution_batch_size { value: 64 })"));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->max_batch_size, 128U);
  EXPECT_EQ(read->batch_timeout, std::chrono::microseconds(1500));
  EXPECT_EQ(read->max_enqueued_batches, 100'000'000U);
  EXPECT_EQ(read->num_batch_threads, 8U);
  EXPECT_TRUE(read->pad_variable_length_inputs);
  EXPECT_THAT(read->allowed_batch_sizes, ElementsAre(8, 64));
  EXPECT_TRUE(read->enable_large_batch_splitting);
  EXPECT_EQ(read->max_execution_batch_size, 64U);

  read = ReadBatchingParametersFile(Write("allowed_batch_sizes: 4 allowed_batch_sizes: 16"));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->max_batch_size, 16U);
  EXPECT_EQ(ReadBatchingParametersFile(Write(""))->max_batch_size, BatchingParameters().max_batch_size);
}

TEST_F(ConfigFilesTest, BatchingErrors) {
  std::vector<std::pair<std::string, std::string>> cases{
      {"max_batch_size: 8", ":1:"},  // must be wrapped
      {"max_batch_size { value: 0 }", ": max_batch_size is 0, less than 1"},
      {"num_batch_threads { value: 0 }", ": num_batch_threads is 0, less than 1"},
      {"batch_timeout_micros { value: -1 }", ": batch_timeout_micros is -1, less than 0"},
      {"allowed_batch_sizes: 4 allowed_batch_sizes: 2", ": allowed_batch_sizes entries must be"},
      {"max_batch_size { value: 8 } allowed_batch_sizes: 4",
       ": the last of allowed_batch_sizes, 4, must be max_batch_size"},
      {"max_batch_size { value: 8 } max_execution_batch_size { value: 9 }", ": max_execution_batch_size is more than"},
  };
  for (const auto& [text, message] : cases) {
    Result<BatchingParameters> read = ReadBatchingParametersFile(Write(text));
    ASSERT_FALSE(read) << text;
    EXPECT_THAT(read.error().message, ::testing::StartsWith(file_.native() + message)) << text;
  }
}

TEST_F(ConfigFilesTest, Monitoring) {
  Result<MonitoringConfig> read =
      ReadMonitoringConfigFile(Write("prometheus_config { enable: true path: '/metrics' }"));
  ASSERT_TRUE(read);
  EXPECT_TRUE(read->prometheus_enabled);
  EXPECT_EQ(read->prometheus_path, "/metrics");
  read = ReadMonitoringConfigFile(Write(""));
  EXPECT_FALSE(read->prometheus_enabled);
  EXPECT_EQ(read->prometheus_path, "/monitoring/prometheus/metrics");
  EXPECT_THAT(ReadMonitoringConfigFile(Write("prometheus_config { path: 'metrics' }")).error().message,
              HasSubstr("must begin with /"));
}

}  // namespace
}  // namespace sagebrush::serving
