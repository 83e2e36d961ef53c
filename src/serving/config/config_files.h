#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "serving/core/batching_parameters.h"
#include "serving/core/model_spec.h"

namespace sagebrush::serving {

// TensorFlow Serving's configuration files, in Protocol Buffers' text format. An error names the file and, where one is
// to blame, its line: kNotFound for a file that is not there, kInvalidArgument for what cannot be read or makes no
// sense, kUnsupported for what Sagebrush refuses by name.

// --model_config_file: model_config_list { config { name: … base_path: … } … }.
Result<std::vector<ModelConfig>> ReadModelConfigFile(const std::filesystem::path& file);

// --batching_parameters_file. What the file leaves out keeps our default; thread_pool_name has no effect. Of
// allowed_batch_sizes without max_batch_size, the last is the maximum.
Result<BatchingParameters> ReadBatchingParametersFile(const std::filesystem::path& file);

struct MonitoringConfig {
  bool prometheus_enabled = false;
  std::string prometheus_path = "/monitoring/prometheus/metrics";
};

// --monitoring_config_file: prometheus_config { enable: true path: … }.
Result<MonitoringConfig> ReadMonitoringConfigFile(const std::filesystem::path& file);

}  // namespace sagebrush::serving
