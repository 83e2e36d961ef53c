#include "control/model_frontend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/model_request.h"
#include "control/test_database.h"

namespace sagebrush::control {
namespace {

namespace sm = gen::sagemaker;
using testing::StartsWith;

constexpr char kArn[] = "arn:aws:sagemaker:us-west-2:123456789012:model/m";

sm::S3ModelDataSource Archive(const std::string& uri) {
  sm::S3ModelDataSource source;
  source.S3Uri = uri;
  source.S3DataType = "S3Object";
  source.CompressionType = "Gzip";
  return source;
}

class ModelFrontendTest : public testing::Test {
 protected:
  // As the SDK sends it.
  static sm::CreateModelInput Request() {
    sm::CreateModelInput request;
    request.ModelName = "m";
    request.ExecutionRoleArn = "arn:aws:iam::123456789012:role/r";
    request.PrimaryContainer = sm::ContainerDefinition{};
    request.PrimaryContainer->Image = "tensorflow-inference:2.19-cpu";
    request.PrimaryContainer->ModelDataUrl = "s3://bucket/job/output/model.tar.gz";
    request.PrimaryContainer->Environment = {{"SAGEMAKER_TFS_NGINX_LOGLEVEL", "info"}};
    return request;
  }

  TestDatabase database_;
  ManualClock clock_{1'700'000'000'000};
  ModelTable models_{*database_};
  ModelFrontend frontend_{models_, clock_, {"123456789012", "us-west-2"}};
};

TEST_F(ModelFrontendTest, CreatesAndDescribes) {
  Result<sm::CreateModelOutput> created = frontend_.Create(Request(), "");
  ASSERT_TRUE(created) << created.error().message;
  EXPECT_EQ(created->ModelArn, kArn);
  Result<sm::DescribeModelOutput> described = frontend_.Describe({"m"});
  ASSERT_TRUE(described);
  EXPECT_EQ(described->ModelArn, kArn);
  EXPECT_EQ(described->CreationTime.ms, 1'700'000'000'000);
  EXPECT_EQ(described->ExecutionRoleArn, "arn:aws:iam::123456789012:role/r");
  EXPECT_EQ(described->EnableNetworkIsolation, false);
  sm::ContainerDefinition shown = *Request().PrimaryContainer;
  shown.Mode = "SingleModel";
  EXPECT_EQ(described->PrimaryContainer, shown);
}

TEST_F(ModelFrontendTest, AnUnknownModelIsNamedByItsArn) {
  std::string message = std::string("Could not find model \"") + kArn + "\".";
  EXPECT_EQ(frontend_.Describe({"m"}).error().message, message);
  EXPECT_EQ(frontend_.Describe({"m"}).error().code, "ValidationException");
  EXPECT_EQ(frontend_.Delete({"m"}).error().message, message);
  ASSERT_TRUE(frontend_.Create(Request(), ""));
  EXPECT_TRUE(frontend_.Delete({"m"}));
  EXPECT_EQ(frontend_.Describe({"m"}).error().message, message);
}

TEST_F(ModelFrontendTest, AListOfOneContainerIsThePrimaryContainer) {
  sm::CreateModelInput request = Request();
  request.Containers = {*std::exchange(request.PrimaryContainer, std::nullopt)};
  ASSERT_TRUE(frontend_.Create(request, ""));
  EXPECT_EQ(ContainerOf(request).Image, "tensorflow-inference:2.19-cpu");
  EXPECT_EQ(frontend_.Describe({"m"})->Containers.size(), 1u);
  EXPECT_FALSE(frontend_.Describe({"m"})->PrimaryContainer);
}

TEST_F(ModelFrontendTest, ADataSourceOfAnArchiveIsAModelDataUrl) {
  sm::CreateModelInput request = Request();
  EXPECT_EQ(ModelDataUrlOf(ContainerOf(request)), "s3://bucket/job/output/model.tar.gz");
  request.PrimaryContainer->ModelDataUrl.reset();
  EXPECT_EQ(ModelDataUrlOf(ContainerOf(request)), std::nullopt);
  EXPECT_TRUE(CheckModelRequest(request));  // a program that brings its own model
  request.PrimaryContainer->ModelDataSource = sm::ModelDataSource{Archive("s3://bucket/other.tar.gz")};
  ASSERT_TRUE(CheckModelRequest(request));
  EXPECT_EQ(ModelDataUrlOf(ContainerOf(request)), "s3://bucket/other.tar.gz");
}

TEST_F(ModelFrontendTest, WhatIsWrongOrNotHonouredIsRefusedByName) {
  using Container = sm::ContainerDefinition;
  struct Case {
    const char* begins;
    std::function<void(sm::CreateModelInput&, Container&)> change;
  };
  auto source = [](std::function<void(sm::S3ModelDataSource&)> change) {
    return [change](sm::CreateModelInput&, Container& container) {
      container.ModelDataUrl.reset();
      container.ModelDataSource = sm::ModelDataSource{Archive("s3://bucket/m.tar.gz")};
      change(*container.ModelDataSource->S3DataSource);
    };
  };
  for (const Case& c : {
           Case{"PrimaryContainer is required", [](auto& request, auto&) { request.PrimaryContainer.reset(); }},
           Case{"Both PrimaryContainer", [](auto& request, auto& c) { request.Containers = {c}; }},
           Case{"Containers with 2 ",
                [](auto& request, auto& c) {
                  request.Containers = {c, c};
                  request.PrimaryContainer.reset();
                }},
           Case{
               "InferenceExecutionConfig ",
               [](auto& request, auto&) { request.InferenceExecutionConfig = sm::InferenceExecutionConfig{"Serial"}; }},
           Case{"PrimaryContainer.ModelPackageName ", [](auto&, auto& c) { c.ModelPackageName = "p"; }},
           Case{"PrimaryContainer.InferenceSpecificationName ",
                [](auto&, auto& c) { c.InferenceSpecificationName = "s"; }},
           Case{"PrimaryContainer.ImageConfig ", [](auto&, auto& c) { c.ImageConfig = sm::ImageConfig{"Vpc", {}}; }},
           Case{"PrimaryContainer.Mode MultiModel ", [](auto&, auto& c) { c.Mode = "MultiModel"; }},
           Case{"PrimaryContainer.MultiModelConfig ",
                [](auto&, auto& c) { c.MultiModelConfig = sm::MultiModelConfig{"Enabled"}; }},
           Case{"PrimaryContainer.AdditionalModelDataSources ",
                [](auto&, auto& c) { c.AdditionalModelDataSources = {{"draft", Archive("s3://b/k")}}; }},
           Case{"PrimaryContainer.ContainerMetricsConfig ",
                [](auto&, auto& c) { c.ContainerMetricsConfig = sm::ContainerMetricsConfig{}; }},
           Case{"PrimaryContainer.Image is required", [](auto&, auto& c) { c.Image.reset(); }},
           Case{"PrimaryContainer.ModelDataUrl: 'https://", [](auto&, auto& c) { c.ModelDataUrl = "https://b/k"; }},
           Case{"PrimaryContainer.ModelDataUrl: 's3://bucket' ",
                [](auto&, auto& c) { c.ModelDataUrl = "s3://bucket"; }},
           Case{"PrimaryContainer.ModelDataUrl: 's3://b/k/' ", [](auto&, auto& c) { c.ModelDataUrl = "s3://b/k/"; }},
           Case{"PrimaryContainer has both ",
                [](auto&, auto& c) { c.ModelDataSource = sm::ModelDataSource{Archive("s3://b/k")}; }},
           Case{"PrimaryContainer.ModelDataSource.S3DataSource is required",
                [](auto&, auto& c) {
                  c.ModelDataUrl.reset();
                  c.ModelDataSource = sm::ModelDataSource{};
                }},
           Case{"PrimaryContainer.ModelDataSource.S3DataSource.CompressionType None ",
                source([](auto& s) { s.CompressionType = "None", s.S3DataType = "S3Prefix"; })},
           Case{"PrimaryContainer.ModelDataSource.S3DataSource.S3DataType S3Prefix ",
                source([](auto& s) { s.S3DataType = "S3Prefix"; })},
           Case{"PrimaryContainer.ModelDataSource.S3DataSource.ModelAccessConfig ",
                source([](auto& s) { s.ModelAccessConfig = sm::ModelAccessConfig{true}; })},
           Case{"PrimaryContainer.ModelDataSource.S3DataSource.HubAccessConfig ",
                source([](auto& s) { s.HubAccessConfig = sm::InferenceHubAccessConfig{"arn"}; })},
           Case{"PrimaryContainer.ModelDataSource.S3DataSource.ManifestS3Uri ",
                source([](auto& s) { s.ManifestS3Uri = "s3://b/manifest"; })},
           Case{"PrimaryContainer.ModelDataSource.S3DataSource.ETag ", source([](auto& s) { s.ETag = "e"; })},
           Case{"PrimaryContainer.ModelDataSource.S3DataSource.ManifestEtag ",
                source([](auto& s) { s.ManifestEtag = "e"; })},
           Case{"PrimaryContainer.ModelDataSource.S3DataSource.S3Uri: ", source([](auto& s) { s.S3Uri = "s3://b"; })},
       }) {
    sm::CreateModelInput request = Request();
    c.change(request, *request.PrimaryContainer);
    Result<sm::CreateModelOutput> created = frontend_.Create(request, "");
    ASSERT_FALSE(created) << c.begins;
    EXPECT_EQ(created.error().code, "ValidationException") << c.begins;
    EXPECT_THAT(created.error().message, StartsWith(c.begins));
  }
  EXPECT_TRUE(frontend_.List({})->Models.empty());
}

}  // namespace
}  // namespace sagebrush::control
