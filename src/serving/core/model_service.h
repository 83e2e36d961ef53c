#pragma once

#include <memory>
#include <vector>

#include "serving/core/executor.h"
#include "serving/core/model_spec.h"
#include "serving/core/servable.h"

namespace sagebrush::serving {

// The models of this server, as the REST, gRPC and hosting front ends see them. Thread-safe.
class ModelService {
 public:
  virtual ~ModelService() = default;

  // An available version. Errors in TensorFlow Serving's words: kNotFound "Servable not found for request:
  // Latest(NAME)" or "Specific(NAME, V)"; kInvalidArgument "Unrecognized servable version label: L".
  virtual Result<std::shared_ptr<const Servable>> Find(const ModelSpec& spec) const = 0;

  // The states of the model's versions, newest first, ended ones included. kNotFound "Could not find any versions of
  // model NAME" or "Could not find version V of model NAME".
  virtual Result<std::vector<VersionStatus>> Status(const ModelSpec& spec) const = 0;

  // Replaces the whole set of models: those omitted are unloaded, others are loaded or keep running. Returns when every
  // model of the set has a version available or failed; the error names the first model that has none.
  // kInvalidArgument, changing nothing, for a set that contradicts itself (a name twice, a relative path).
  virtual Result<void> Reload(std::vector<ModelConfig> configs) = 0;
  virtual std::vector<ModelConfig> configs() const = 0;

  virtual Executor& executor() = 0;
};

}  // namespace sagebrush::serving
