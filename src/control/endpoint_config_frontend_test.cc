#include "control/endpoint_config_frontend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/test_database.h"

namespace sagebrush::control {
namespace {

namespace sm = gen::sagemaker;
using testing::StartsWith;

constexpr char kArn[] = "arn:aws:sagemaker:us-west-2:123456789012:endpoint-config/c";

class EndpointConfigFrontendTest : public testing::Test {
 protected:
  EndpointConfigFrontendTest() {
    sm::CreateModelInput model;
    model.ModelName = "m";
    model.PrimaryContainer = sm::ContainerDefinition{};
    model.PrimaryContainer->Image = "sagebrush/python:3.11";
    EXPECT_TRUE(model_frontend_.Create(model, ""));
  }

  static sm::ProductionVariant Variant(const std::string& name) {
    sm::ProductionVariant variant;
    variant.VariantName = name;
    variant.ModelName = "m";
    variant.InitialInstanceCount = 1;
    variant.InstanceType = "ml.c5.xlarge";
    return variant;
  }
  static sm::CreateEndpointConfigInput Request() {
    sm::CreateEndpointConfigInput request;
    request.EndpointConfigName = "c";
    request.ProductionVariants = {Variant("AllTraffic")};
    return request;
  }

  TestDatabase database_;
  ManualClock clock_{1'700'000'000'000};
  ModelTable models_{*database_};
  EndpointConfigTable configs_{*database_};
  ModelFrontend model_frontend_{models_, clock_, {"123456789012", "us-west-2"}};
  EndpointConfigFrontend frontend_{configs_, model_frontend_, clock_, {"123456789012", "us-west-2"}};
};

TEST_F(EndpointConfigFrontendTest, CreatesAndDescribes) {
  sm::CreateEndpointConfigInput request = Request();
  sm::ProductionVariant second = Variant("b");
  second.InitialVariantWeight = 0.5;
  second.VolumeSizeInGB = 64;
  second.ModelDataDownloadTimeoutInSeconds = 600;
  second.ContainerStartupHealthCheckTimeoutInSeconds = 60;
  second.EnableSSMAccess = false;
  second.RoutingConfig = sm::ProductionVariantRoutingConfig{"LEAST_OUTSTANDING_REQUESTS", {}};
  request.ProductionVariants.push_back(second);
  request.DataCaptureConfig = sm::DataCaptureConfig{
      .EnableCapture = false, .DestinationS3Uri = "s3://b/k", .CaptureOptions = {sm::CaptureOption{"Input"}}};
  request.KmsKeyId = "key";
  Result<sm::CreateEndpointConfigOutput> created = frontend_.Create(request, "");
  ASSERT_TRUE(created) << created.error().message;
  EXPECT_EQ(created->EndpointConfigArn, kArn);
  Result<sm::DescribeEndpointConfigOutput> described = frontend_.Describe({"c"});
  ASSERT_TRUE(described) << described.error().message;
  EXPECT_EQ(described->EndpointConfigArn, kArn);
  EXPECT_EQ(described->CreationTime.ms, 1'700'000'000'000);
  EXPECT_EQ(described->KmsKeyId, "key");
  EXPECT_EQ(described->DataCaptureConfig, request.DataCaptureConfig);
  request.ProductionVariants[0].InitialVariantWeight = 1;  // the default is shown
  EXPECT_EQ(described->ProductionVariants, request.ProductionVariants);
}

TEST_F(EndpointConfigFrontendTest, AnUnknownOneIsNamedByItsArn) {
  std::string message = std::string("Could not find endpoint configuration \"") + kArn + "\".";
  EXPECT_EQ(frontend_.Describe({"c"}).error().message, message);
  EXPECT_EQ(frontend_.Delete({"c"}).error().message, message);
  ASSERT_TRUE(frontend_.Create(Request(), ""));
  EXPECT_TRUE(frontend_.Delete({"c"}));
  EXPECT_EQ(frontend_.Describe({"c"}).error().code, "ValidationException");
}

TEST_F(EndpointConfigFrontendTest, ItsModelsMustExist) {
  sm::CreateEndpointConfigInput request = Request();
  request.ProductionVariants[0].ModelName = "none";
  EXPECT_EQ(frontend_.Create(request, "").error().message,
            "Could not find model \"arn:aws:sagemaker:us-west-2:123456789012:model/none\".");
}

TEST_F(EndpointConfigFrontendTest, WhatIsWrongOrNotHonouredIsRefusedByName) {
  struct Case {
    std::string begins;
    std::function<void(sm::CreateEndpointConfigInput&, sm::ProductionVariant&)> change;
  };
  const std::string variant = "ProductionVariants.1.member.";
  for (
      const Case& c : {
          Case{"ShadowProductionVariants ", [](auto& request, auto& v) { request.ShadowProductionVariants = {v}; }},
          Case{"AsyncInferenceConfig ",
               [](auto& request, auto&) { request.AsyncInferenceConfig = sm::AsyncInferenceConfig{}; }},
          Case{"DataCaptureConfig.EnableCapture ",
               [](auto& request, auto&) { request.DataCaptureConfig = sm::DataCaptureConfig{}; }},
          Case{"ExplainerConfig ", [](auto& request, auto&) { request.ExplainerConfig = sm::ExplainerConfig{}; }},
          Case{"EnableNetworkIsolation ", [](auto& request, auto&) { request.EnableNetworkIsolation = true; }},
          Case{"MetricsConfig ", [](auto& request, auto&) { request.MetricsConfig = sm::MetricsConfig{}; }},
          Case{"CrossRegionTrafficConfig ",
               [](auto& request, auto&) { request.CrossRegionTrafficConfig = sm::CrossRegionTrafficConfig{}; }},
          Case{"ProductionVariants names variant 'AllTraffic' twice",
               [](auto& request, auto& v) { request.ProductionVariants = {v, v}; }},
          Case{"InitialVariantWeight is 0 ", [](auto&, auto& v) { v.InitialVariantWeight = 0; }},
          Case{variant + "ModelName is required", [](auto&, auto& v) { v.ModelName.reset(); }},
          Case{variant + "InstanceType is required", [](auto&, auto& v) { v.InstanceType.reset(); }},
          Case{variant + "InstanceType: ml.g5.xlarge stands for 1 GPU",
               [](auto&, auto& v) { v.InstanceType = "ml.g5.xlarge"; }},
          Case{variant + "InstanceType: instance type 'ml.inf1.xlarge'",
               [](auto&, auto& v) { v.InstanceType = "ml.inf1.xlarge"; }},
          Case{variant + "InitialInstanceCount ", [](auto&, auto& v) { v.InitialInstanceCount.reset(); }},
          Case{variant + "InitialInstanceCount ", [](auto&, auto& v) { v.InitialInstanceCount = 0; }},
          Case{
              variant +
                  "ServerlessConfig ",
              [](auto&, auto& v) { v.ServerlessConfig = sm::ProductionVariantServerlessConfig{}; }},
          Case{variant + "AcceleratorType ", [](auto&, auto& v) { v.AcceleratorType = "ml.eia2.medium"; }},
          Case{variant + "InstancePools ", [](auto&, auto& v) { v.InstancePools.emplace_back(); }},
          Case{
              variant +
                  "VariantInstanceProvisionTimeoutInSeconds ",
              [](auto&, auto& v) { v.VariantInstanceProvisionTimeoutInSeconds = 300; }},
          Case{
              variant +
                  "CoreDumpConfig ",
              [](auto&, auto& v) { v.CoreDumpConfig = sm::ProductionVariantCoreDumpConfig{}; }},
          Case{variant + "EnableSSMAccess ", [](auto&, auto& v) { v.EnableSSMAccess = true; }},
          Case{
              variant +
                  "ManagedInstanceScaling ",
              [](auto&, auto& v) { v.ManagedInstanceScaling = sm::ProductionVariantManagedInstanceScaling{}; }},
          Case{
              variant +
                  "CapacityReservationConfig ",
              [](auto&, auto& v) { v.CapacityReservationConfig = sm::ProductionVariantCapacityReservationConfig{}; }},
          Case{
              variant +
                  "AcceleratorPartitionLayouts ",
              [](auto&, auto& v) { v.AcceleratorPartitionLayouts.emplace_back(); }},
          Case{
              variant +
                  "RoutingConfig.RoutingStrategy RANDOM ",
              [](auto&, auto& v) { v.RoutingConfig = sm::ProductionVariantRoutingConfig{"RANDOM", {}}; }},
          Case{
              variant +
                  "RoutingConfig.PrefixAwareRoutingConfig ",
              [](auto&, auto& v) {
                v.RoutingConfig =
                    sm::ProductionVariantRoutingConfig{"LEAST_OUTSTANDING_REQUESTS", sm::PrefixAwareRoutingConfig{}};
              }},
      }) {
    sm::CreateEndpointConfigInput request = Request();
    sm::ProductionVariant changed = request.ProductionVariants[0];
    request.ProductionVariants.clear();
    c.change(request, changed);
    if (request.ProductionVariants.empty()) request.ProductionVariants = {changed};
    Result<sm::CreateEndpointConfigOutput> created = frontend_.Create(request, "");
    ASSERT_FALSE(created) << c.begins;
    EXPECT_EQ(created.error().code, "ValidationException") << c.begins;
    EXPECT_THAT(created.error().message, StartsWith(c.begins));
  }
  EXPECT_TRUE(frontend_.List({})->EndpointConfigs.empty());
}

}  // namespace
}  // namespace sagebrush::control
