#include "control/model_request.h"

#include "control/refusals.h"
#include "control/training_job_request.h"

namespace sagebrush::control {
namespace {

namespace sm = gen::sagemaker;

Result<void> CheckArchive(const std::string& field, const std::string& uri) {
  Result<S3Uri> parsed = ParseS3Uri(uri);
  if (!parsed) return Fail(std::move(parsed).error().Because(field));
  if (parsed->key.empty() || parsed->key.ends_with('/')) {
    return Fail(Invalid(field + ": '" + uri + "' names no object: it must be the URI of a model.tar.gz."));
  }
  return {};
}

Result<void> CheckDataSource(const std::string& field, const sm::ModelDataSource& data) {
  std::string name = field + ".S3DataSource";
  if (!data.S3DataSource) return Fail(Invalid(name + " is required."));
  const sm::S3ModelDataSource& source = *data.S3DataSource;
  if (source.CompressionType != "Gzip") {
    return Fail(NotHonoured(name + ".CompressionType " + source.CompressionType,
                            "put the model into a model.tar.gz and use Gzip with S3DataType S3Object"));
  }
  if (source.S3DataType != "S3Object") {
    return Fail(NotHonoured(name + ".S3DataType " + source.S3DataType + " with CompressionType Gzip",
                            "use S3Object, with the URI of the archive"));
  }
  if (source.ModelAccessConfig) return Fail(NotHonoured(name + ".ModelAccessConfig"));
  if (source.HubAccessConfig) return Fail(NotHonoured(name + ".HubAccessConfig"));
  if (source.ManifestS3Uri) return Fail(NotHonoured(name + ".ManifestS3Uri"));
  if (source.ETag) return Fail(NotHonoured(name + ".ETag"));
  if (source.ManifestEtag) return Fail(NotHonoured(name + ".ManifestEtag"));
  return CheckArchive(name + ".S3Uri", source.S3Uri);
}

Result<void> CheckContainer(const std::string& field, const sm::ContainerDefinition& container) {
  if (container.ModelPackageName) {
    return Fail(NotHonoured(field + ".ModelPackageName", "name the Image and the ModelDataUrl instead"));
  }
  if (container.InferenceSpecificationName) {
    return Fail(NotHonoured(field + ".InferenceSpecificationName (it belongs to model packages)"));
  }
  if (container.ImageConfig) return Fail(NotHonoured(field + ".ImageConfig"));
  if (container.Mode.value_or("SingleModel") != "SingleModel") {
    return Fail(NotHonoured(field + ".Mode " + *container.Mode, "use SingleModel"));
  }
  if (container.MultiModelConfig) return Fail(NotHonoured(field + ".MultiModelConfig"));
  if (!container.AdditionalModelDataSources.empty()) return Fail(NotHonoured(field + ".AdditionalModelDataSources"));
  if (container.ContainerMetricsConfig) return Fail(NotHonoured(field + ".ContainerMetricsConfig"));
  if (container.Image.value_or("").empty()) return Fail(Invalid(field + ".Image is required."));
  if (container.ModelDataUrl && container.ModelDataSource) {
    return Fail(Invalid(field + " has both ModelDataUrl and ModelDataSource: leave one of them out."));
  }
  if (container.ModelDataUrl) return CheckArchive(field + ".ModelDataUrl", *container.ModelDataUrl);
  if (container.ModelDataSource) return CheckDataSource(field + ".ModelDataSource", *container.ModelDataSource);
  return {};
}

}  // namespace

Result<void> CheckModelRequest(const sm::CreateModelInput& request) {
  if (request.PrimaryContainer && !request.Containers.empty()) {
    return Fail(Invalid("Both PrimaryContainer and Containers are given: leave one of them out."));
  }
  if (!request.PrimaryContainer && request.Containers.empty()) {
    return Fail(Invalid("PrimaryContainer is required."));
  }
  if (request.Containers.size() > 1) {
    return Fail(NotHonoured(
        "Containers with " + std::to_string(request.Containers.size()) + " elements (an inference pipeline)",
        "make a model of one container"));
  }
  if (request.InferenceExecutionConfig) return Fail(NotHonoured("InferenceExecutionConfig"));
  return CheckContainer(request.PrimaryContainer ? "PrimaryContainer" : "Containers.1.member", ContainerOf(request));
}

const sm::ContainerDefinition& ContainerOf(const sm::CreateModelInput& request) {
  return request.PrimaryContainer ? *request.PrimaryContainer : request.Containers.front();
}

std::optional<std::string> ModelDataUrlOf(const sm::ContainerDefinition& container) {
  if (container.ModelDataSource) return container.ModelDataSource->S3DataSource->S3Uri;
  return container.ModelDataUrl;
}

}  // namespace sagebrush::control
