#include "control/training_job_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/test_request.h"

namespace sagebrush::control {
namespace {

namespace sm = gen::sagemaker;
using testing::HasSubstr;

TEST(TrainingJobRequest, AcceptsWhatTheSdkSends) { EXPECT_TRUE(CheckTrainingJobRequest(TestRequest("job"))); }

TEST(TrainingJobRequest, RefusesWhatIsNotHonouredByName) {
  struct Case {
    const char* field;
    std::function<void(sm::CreateTrainingJobRequest&)> change;
  };
  const Case cases[] = {
      {"AlgorithmName", [](auto& r) { r.AlgorithmSpecification->AlgorithmName = "x"; }},
      {"TrainingImage is required", [](auto& r) { r.AlgorithmSpecification->TrainingImage.reset(); }},
      {"TrainingInputMode Pipe", [](auto& r) { r.AlgorithmSpecification->TrainingInputMode = "Pipe"; }},
      {"S3DataType ManifestFile",
       [](auto& r) { r.InputDataConfig[0].DataSource.S3DataSource->S3DataType = "ManifestFile"; }},
      {"channel 'train': CompressionType Gzip", [](auto& r) { r.InputDataConfig[0].CompressionType = "Gzip"; }},
      {"RecordWrapperType RecordIO", [](auto& r) { r.InputDataConfig[0].RecordWrapperType = "RecordIO"; }},
      {"ShuffleConfig", [](auto& r) { r.InputDataConfig[0].ShuffleConfig = sm::ShuffleConfig{7}; }},
      {"FileSystemDataSource",
       [](auto& r) { r.InputDataConfig[0].DataSource = {.FileSystemDataSource = sm::FileSystemDataSource{}}; }},
      {"twice", [](auto& r) { r.InputDataConfig.push_back(r.InputDataConfig[0]); }},
      {"no S3 URI", [](auto& r) { r.InputDataConfig[0].DataSource.S3DataSource->S3Uri = "https://x/y"; }},
      {"InstanceGroups excludes", [](auto& r) { r.ResourceConfig->InstanceGroups.push_back({"ml.m5.large", 1, "a"}); }},
      {"two groups have this name",
       [](auto& r) { r.ResourceConfig = {.InstanceGroups = {{"ml.m5.large", 1, "a"}, {"ml.c5.large", 1, "a"}}}; }},
      {"'a': InstanceCount", [](auto& r) { r.ResourceConfig = {.InstanceGroups = {{"ml.m5.large", 0, "a"}}}; }},
      {"ml.trn1.2xlarge", [](auto& r) { r.ResourceConfig = {.InstanceGroups = {{"ml.trn1.2xlarge", 1, "a"}}}; }},
      {"at most 1000",
       [](auto& r) { r.ResourceConfig = {.InstanceGroups = {{"ml.m5.large", 999, "a"}, {"ml.c5.large", 2, "b"}}}; }},
      {"'b', which is no group",
       [](auto& r) { r.InputDataConfig[0].DataSource.S3DataSource->InstanceGroupNames = {"b"}; }},
      {"InstanceCount", [](auto& r) { r.ResourceConfig->InstanceCount = 0; }},
      {"ml.trn1.2xlarge", [](auto& r) { r.ResourceConfig->InstanceType = "ml.trn1.2xlarge"; }},
      {"MaxWaitTimeInSeconds", [](auto& r) { r.StoppingCondition->MaxWaitTimeInSeconds = 1; }},
      {"MaxWaitTimeInSeconds is required", [](auto& r) { r.EnableManagedSpotTraining = true; }},
      {"no S3 URI", [](auto& r) { r.CheckpointConfig = sm::CheckpointConfig{"https://b/c", {}}; }},
      {"LocalPath must be an absolute path", [](auto& r) { r.CheckpointConfig = {{"s3://b/c", "ml/here"}}; }},
      {"LocalPath must be an absolute path", [](auto& r) { r.CheckpointConfig = {{"s3://b/c", "/tmp/../etc"}}; }},
      {"LocalPath '/usr' would cover", [](auto& r) { r.CheckpointConfig = {{"s3://b/c", "/usr/"}}; }},
      {"LocalPath '/' would cover", [](auto& r) { r.CheckpointConfig = {{"s3://b/c", "/"}}; }},
      {"LocalPath '/proc/x' would cover", [](auto& r) { r.CheckpointConfig = {{"s3://b/c", "/proc/x"}}; }},
      {"EnableInterContainerTrafficEncryption",
       [](auto& r) {
         r.ResourceConfig->InstanceCount = 2;
         r.EnableInterContainerTrafficEncryption = true;
       }},
      {"TensorBoardOutputConfig", [](auto& r) { r.TensorBoardOutputConfig = sm::TensorBoardOutputConfig{}; }},
      {"DebugRuleConfigurations", [](auto& r) { r.DebugRuleConfigurations.emplace_back(); }},
      {"S3 URI", [](auto& r) { r.OutputDataConfig.S3OutputPath = "/tmp"; }},
  };
  for (const Case& c : cases) {
    sm::CreateTrainingJobRequest request = TestRequest("job");
    c.change(request);
    Result<void> checked = CheckTrainingJobRequest(request);
    ASSERT_FALSE(checked) << c.field;
    EXPECT_EQ(checked.error().code, "ValidationException");
    EXPECT_THAT(checked.error().message, HasSubstr(c.field));
  }
}

TEST(TrainingJobRequest, OneInstanceHasNoTrafficToEncrypt) {
  sm::CreateTrainingJobRequest request = TestRequest("job");
  request.EnableInterContainerTrafficEncryption = true;
  EXPECT_TRUE(CheckTrainingJobRequest(request));
}

TEST(TrainingJobRequest, TakesAttemptsAndLimitsFromTheRequest) {
  sm::CreateTrainingJobRequest request = TestRequest("job");
  EXPECT_EQ(LimitsOf(request).max_retries, 0);
  request.RetryStrategy = sm::RetryStrategy{3};
  request.StoppingCondition->MaxPendingTimeInSeconds = 7200;
  domain::TrainingJobLimits limits = LimitsOf(request);
  EXPECT_EQ(limits.max_retries, 3);
  EXPECT_EQ(limits.max_pending_ms, 7'200'000);
  EXPECT_EQ(limits.max_wait_ms, 0);
  EXPECT_FALSE(limits.spot);
  request.EnableManagedSpotTraining = true;
  request.StoppingCondition->MaxWaitTimeInSeconds = 7200;
  EXPECT_TRUE(LimitsOf(request).spot);
  EXPECT_EQ(LimitsOf(request).max_wait_ms, 7'200'000);
}

TEST(TrainingJobRequest, ChecksTheCheckpoints) {
  sm::CreateTrainingJobRequest request = TestRequest("job");
  request.CheckpointConfig = sm::CheckpointConfig{"s3://b/c", {}};
  ASSERT_TRUE(CheckTrainingJobRequest(request));
  EXPECT_EQ(CheckpointPath(request), "/opt/ml/checkpoints");
  for (const char* path : {"/opt/ml/checkpoints/", "/data/x", "/opt/ml/model", "/tmp/ckpt"}) {
    request.CheckpointConfig->LocalPath = path;
    EXPECT_TRUE(CheckTrainingJobRequest(request)) << path;
  }
}

TEST(TrainingJobRequest, FindsTheSourceArchive) {
  sm::CreateTrainingJobRequest request = TestRequest("job");
  EXPECT_EQ(SubmitDirectory(request), std::nullopt);
  request.HyperParameters["sagemaker_submit_directory"] = R"("s3://b/k.tar.gz")";
  EXPECT_EQ(SubmitDirectory(request), "s3://b/k.tar.gz");
  request.HyperParameters["sagemaker_submit_directory"] = "s3://b/plain.tar.gz";
  EXPECT_EQ(SubmitDirectory(request), "s3://b/plain.tar.gz");
  request.HyperParameters["sagemaker_submit_directory"] = R"("/opt/ml/input/data/code")";
  EXPECT_EQ(SubmitDirectory(request), std::nullopt);
}

TEST(TrainingJobRequest, NamesItsOutputs) {
  sm::CreateTrainingJobRequest request = TestRequest("job");
  request.OutputDataConfig.S3OutputPath = "s3://b/out/";
  EXPECT_EQ(ModelArtifactsUri(request), "s3://b/out/job/output/model.tar.gz");
  request.OutputDataConfig.CompressionType = "NONE";
  EXPECT_EQ(ModelArtifactsUri(request), "s3://b/out/job/output/model/");
}

TEST(TrainingJobRequest, S3Uris) {
  EXPECT_EQ(ParseS3Uri("s3://b/k/l")->key, "k/l");
  EXPECT_EQ(ParseS3Uri("s3://b")->key, "");
  EXPECT_EQ(ParseS3Uri("s3://b/")->bucket, "b");
  for (const char* bad : {"", "s3:/b/k", "s3:///k", "http://b/k"}) EXPECT_FALSE(ParseS3Uri(bad)) << bad;
}

}  // namespace
}  // namespace sagebrush::control
