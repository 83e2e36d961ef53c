#include "control/training_job_request.h"

#include <boost/json.hpp>
#include <filesystem>
#include <set>

#include "control/instance_groups.h"
#include "control/metric_extractor.h"
#include "control/refusals.h"

namespace sagebrush::control {
namespace {

namespace sm = gen::sagemaker;

Result<void> CheckAlgorithm(const sm::CreateTrainingJobRequest& request) {
  if (!request.AlgorithmSpecification) return Fail(Invalid("AlgorithmSpecification is required."));
  const sm::AlgorithmSpecification& algorithm = *request.AlgorithmSpecification;
  if (algorithm.AlgorithmName) {
    return Fail(NotHonoured("AlgorithmSpecification.AlgorithmName", "name a TrainingImage instead"));
  }
  if (!algorithm.TrainingImage) return Fail(Invalid("AlgorithmSpecification.TrainingImage is required."));
  if (algorithm.TrainingImageConfig) return Fail(NotHonoured("AlgorithmSpecification.TrainingImageConfig"));
  if (algorithm.TrainingInputMode == "Pipe") {
    return Fail(NotHonoured("AlgorithmSpecification.TrainingInputMode Pipe", "use File or FastFile"));
  }
  std::set<std::string> names;
  for (const sm::MetricDefinition& definition : algorithm.MetricDefinitions) {
    if (names.insert(definition.Name).second) continue;
    return Fail(Invalid("AlgorithmSpecification.MetricDefinitions names metric '" + definition.Name + "' twice."));
  }
  TRYV(MetricExtractor::Compile(algorithm.MetricDefinitions));
  return {};
}

Result<void> CheckChannel(const sm::Channel& channel) {
  std::string field = "InputDataConfig channel '" + channel.ChannelName + "': ";
  if (channel.DataSource.FileSystemDataSource)
    return Fail(NotHonoured(field + "FileSystemDataSource", "use S3DataSource"));
  if (channel.DataSource.DatasetSource) return Fail(NotHonoured(field + "DatasetSource", "use S3DataSource"));
  if (!channel.DataSource.S3DataSource) return Fail(Invalid(field + "DataSource.S3DataSource is required."));
  const sm::S3DataSource& source = *channel.DataSource.S3DataSource;
  if (source.S3DataType != "S3Prefix") {
    return Fail(NotHonoured(field + "S3DataType " + source.S3DataType, "use S3Prefix"));
  }
  if (!source.AttributeNames.empty()) return Fail(NotHonoured(field + "AttributeNames"));
  if (source.HubAccessConfig) return Fail(NotHonoured(field + "HubAccessConfig"));
  if (channel.InputMode == "Pipe") return Fail(NotHonoured(field + "InputMode Pipe", "use File or FastFile"));
  if (channel.CompressionType.value_or("None") != "None") {
    return Fail(NotHonoured(field + "CompressionType " + *channel.CompressionType, "decompress in the script"));
  }
  if (channel.RecordWrapperType.value_or("None") != "None") {
    return Fail(NotHonoured(field + "RecordWrapperType " + *channel.RecordWrapperType + " (it belongs to Pipe mode)"));
  }
  if (channel.ShuffleConfig) return Fail(NotHonoured(field + "ShuffleConfig (it belongs to Pipe mode)"));
  TRYV(ParseS3Uri(source.S3Uri));
  return {};
}

Result<void> CheckChannels(const sm::CreateTrainingJobRequest& request) {
  std::set<std::string> names;
  for (const sm::Channel& channel : request.InputDataConfig) {
    if (!names.insert(channel.ChannelName).second) {
      return Fail(Invalid("InputDataConfig names channel '" + channel.ChannelName + "' twice."));
    }
    TRYV(CheckChannel(channel));
  }
  return {};
}

Result<void> CheckResources(const sm::CreateTrainingJobRequest& request) {
  if (!request.ResourceConfig) return Fail(Invalid("ResourceConfig is required."));
  const sm::ResourceConfig& resources = *request.ResourceConfig;
  if (resources.TrainingPlanArn) return Fail(NotHonoured("ResourceConfig.TrainingPlanArn"));
  if (resources.InstancePlacementConfig) return Fail(NotHonoured("ResourceConfig.InstancePlacementConfig"));
  if (!resources.InstancePreferences.empty()) return Fail(NotHonoured("ResourceConfig.InstancePreferences"));
  return CheckInstances(request);
}

// Checkpoints are mounted at LocalPath; these places hold what the instance itself needs.
Result<void> CheckCheckpoints(const sm::CreateTrainingJobRequest& request) {
  if (!request.CheckpointConfig) return {};
  TRYV(ParseS3Uri(request.CheckpointConfig->S3Uri));
  std::string path = CheckpointPath(request);
  std::filesystem::path normal(path);
  if (!normal.is_absolute() || normal.lexically_normal() != normal) {
    return Fail(
        Invalid("CheckpointConfig.LocalPath must be an absolute path without '.' and '..', not '" + path + "'."));
  }
  for (std::string_view whole : {"/proc", "/sys", "/dev", "/opt/ml/input"}) {
    if (path == whole || path.starts_with(std::string(whole) + "/")) path = "";
  }
  for (std::string_view taken : {"/", "/bin", "/sbin", "/lib", "/lib64", "/usr", "/etc", "/opt", "/opt/ml", "/var"}) {
    if (path == taken) path = "";
  }
  if (!path.empty()) return {};
  return Fail(Invalid("CheckpointConfig.LocalPath '" + normal.string() +
                      "' would cover files of the instance; use a folder of its own, such as /opt/ml/checkpoints."));
}

Result<void> CheckStopping(const sm::CreateTrainingJobRequest& request) {
  if (!request.StoppingCondition) return Fail(Invalid("StoppingCondition is required."));
  const sm::StoppingCondition& stopping = *request.StoppingCondition;
  if (request.EnableManagedSpotTraining.value_or(false)) {
    if (!stopping.MaxWaitTimeInSeconds) {
      return Fail(Invalid("MaxWaitTimeInSeconds is required when EnableManagedSpotTraining is true."));
    }
    if (*stopping.MaxWaitTimeInSeconds < stopping.MaxRuntimeInSeconds.value_or(86'400)) {
      return Fail(Invalid("MaxWaitTimeInSeconds must be equal to or greater than MaxRuntimeInSeconds."));
    }
  } else if (stopping.MaxWaitTimeInSeconds) {
    return Fail(Invalid("MaxWaitTimeInSeconds is only allowed when EnableManagedSpotTraining is true."));
  }
  return {};
}

Result<void> CheckUnsupported(const sm::CreateTrainingJobRequest& request) {
  if (!request.DebugRuleConfigurations.empty()) return Fail(NotHonoured("DebugRuleConfigurations"));
  if (!request.ProfilerRuleConfigurations.empty()) return Fail(NotHonoured("ProfilerRuleConfigurations"));
  if (request.TensorBoardOutputConfig) {
    return Fail(NotHonoured("TensorBoardOutputConfig", "write the logs below /opt/ml/output/data instead"));
  }
  // One instance has nobody to speak with.
  if (request.EnableInterContainerTrafficEncryption.value_or(false) && InstanceCountOf(request) > 1) {
    return Fail(NotHonoured("EnableInterContainerTrafficEncryption",
                            "the instances of a job speak over a network that no other job and nothing outside this "
                            "machine can reach, in clear text; leave it out"));
  }
  if (request.RemoteDebugConfig && request.RemoteDebugConfig->EnableRemoteDebug.value_or(false)) {
    return Fail(NotHonoured("RemoteDebugConfig.EnableRemoteDebug"));
  }
  if (request.ServerlessJobConfig) return Fail(NotHonoured("ServerlessJobConfig"));
  if (request.MlflowConfig) return Fail(NotHonoured("MlflowConfig"));
  if (request.ModelPackageConfig) return Fail(NotHonoured("ModelPackageConfig"));
  return {};
}

std::string WithoutTrailingSlash(std::string text) {
  while (text.ends_with('/')) text.pop_back();
  return text;
}

}  // namespace

Result<S3Uri> ParseS3Uri(std::string_view uri) {
  std::string_view rest = uri;
  if (!rest.starts_with("s3://")) {
    return Fail(Invalid("'" + std::string(uri) + "' is no S3 URI: it must have the form s3://bucket/prefix."));
  }
  rest.remove_prefix(5);
  size_t slash = rest.find('/');
  S3Uri parsed{std::string(rest.substr(0, slash)),
               slash == std::string_view::npos ? std::string() : std::string(rest.substr(slash + 1))};
  if (parsed.bucket.empty()) return Fail(Invalid("'" + std::string(uri) + "' names no bucket."));
  return parsed;
}

Result<void> CheckTrainingJobRequest(const sm::CreateTrainingJobRequest& request) {
  TRYV(CheckAlgorithm(request));
  TRYV(CheckChannels(request));
  TRYV(CheckResources(request));
  TRYV(CheckStopping(request));
  TRYV(CheckCheckpoints(request));
  TRYV(CheckUnsupported(request));
  TRYV(ParseS3Uri(request.OutputDataConfig.S3OutputPath));
  return {};
}

domain::TrainingJobLimits LimitsOf(const sm::CreateTrainingJobRequest& request) {
  domain::TrainingJobLimits limits;
  limits.instance_count = InstanceCountOf(request);
  limits.max_runtime_ms = request.StoppingCondition->MaxRuntimeInSeconds.value_or(86'400) * 1000;
  limits.max_wait_ms = request.StoppingCondition->MaxWaitTimeInSeconds.value_or(0) * 1000;
  limits.max_pending_ms = request.StoppingCondition->MaxPendingTimeInSeconds.value_or(0) * 1000;
  limits.spot = request.EnableManagedSpotTraining.value_or(false);
  if (request.RetryStrategy) limits.max_retries = static_cast<int>(request.RetryStrategy->MaximumRetryAttempts);
  return limits;
}

std::string CheckpointPath(const sm::CreateTrainingJobRequest& request) {
  std::string path = WithoutTrailingSlash(request.CheckpointConfig->LocalPath.value_or("/opt/ml/checkpoints"));
  return path.empty() ? "/" : path;
}

std::string OutputPrefix(const sm::CreateTrainingJobRequest& request) {
  return WithoutTrailingSlash(request.OutputDataConfig.S3OutputPath) + "/" + request.TrainingJobName + "/output";
}

std::string ModelArtifactsUri(const sm::CreateTrainingJobRequest& request) {
  bool plain = request.OutputDataConfig.CompressionType.value_or("GZIP") == "NONE";
  return OutputPrefix(request) + (plain ? "/model/" : "/model.tar.gz");
}

bool EnablesMpi(const sm::CreateTrainingJobRequest& request) {
  auto found = request.HyperParameters.find("sagemaker_mpi_enabled");
  if (found == request.HyperParameters.end()) return false;
  std::string value = found->second;
  std::erase(value, '"');
  return value == "true" || value == "True";
}

std::optional<std::string> SubmitDirectory(const sm::CreateTrainingJobRequest& request) {
  auto found = request.HyperParameters.find("sagemaker_submit_directory");
  if (found == request.HyperParameters.end()) return std::nullopt;
  boost::system::error_code error;
  boost::json::value decoded = boost::json::parse(found->second, error);
  std::string text = !error && decoded.is_string() ? std::string(decoded.get_string()) : found->second;
  if (!text.starts_with("s3://")) return std::nullopt;
  return text;
}

}  // namespace sagebrush::control
