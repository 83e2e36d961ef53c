#pragma once

#include <string>

#include "gen/sagemaker.h"

namespace sagebrush::control {

// A request as the SDK's TensorFlow estimator sends it, for tests.
inline gen::sagemaker::CreateTrainingJobRequest TestRequest(const std::string& name) {
  namespace sm = gen::sagemaker;
  sm::CreateTrainingJobRequest request;
  request.TrainingJobName = name;
  request.AlgorithmSpecification = sm::AlgorithmSpecification{};
  request.AlgorithmSpecification->TrainingImage = "sagebrush/python:latest";
  request.AlgorithmSpecification->TrainingInputMode = "File";
  request.RoleArn = "arn:aws:iam::000000000000:role/SageMakerExecutionRole";
  sm::Channel channel;
  channel.ChannelName = "train";
  channel.DataSource.S3DataSource = sm::S3DataSource{};
  channel.DataSource.S3DataSource->S3DataType = "S3Prefix";
  channel.DataSource.S3DataSource->S3Uri = "s3://bucket/data";
  request.InputDataConfig.push_back(channel);
  request.OutputDataConfig.S3OutputPath = "s3://bucket/output";
  request.ResourceConfig = sm::ResourceConfig{};
  request.ResourceConfig->InstanceType = "ml.m5.large";
  request.ResourceConfig->InstanceCount = 1;
  request.ResourceConfig->VolumeSizeInGB = 30;
  request.StoppingCondition = sm::StoppingCondition{.MaxRuntimeInSeconds = 3600};
  return request;
}

}  // namespace sagebrush::control
