#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/result.h"
#include "serving/core/batching_parameters.h"

namespace sagebrush::serving {

using Environment = std::map<std::string, std::string, std::less<>>;

// What the environment of a hosted TensorFlow container says, with that container's defaults.
struct HostingOptions {
  uint16_t bind_port = 8080;     // SAGEMAKER_BIND_TO_PORT: /ping and /invocations
  uint16_t grpc_port = 9000;     // the low end of SAGEMAKER_SAFE_PORT_RANGE
  uint16_t rest_port = 8501;     // the port above it
  std::string default_model;     // SAGEMAKER_TFS_DEFAULT_MODEL_NAME; empty: the first in the artifact
  bool multi_model = false;      // SAGEMAKER_MULTI_MODEL
  bool batch_transform = false;  // SAGEMAKER_BATCH is set

  // SAGEMAKER_TFS_ENABLE_BATCHING and its parameters; nullopt: the server's own adaptive batching.
  std::optional<BatchingParameters> batching;
  std::optional<int> intra_op_threads;  // SAGEMAKER_TFS_INTRA_OP_PARALLELISM; 0: one a core
  std::optional<int> inter_op_threads;  // SAGEMAKER_TFS_INTER_OP_PARALLELISM; 0: one a core
  // A whole invocation: the larger of SAGEMAKER_NGINX_PROXY_READ_TIMEOUT_SECONDS and the handlers' timeout.
  std::chrono::seconds request_timeout{60};
  std::chrono::seconds wait_time{300};  // SAGEMAKER_TFS_WAIT_TIME_SECONDS: for a model to be loaded

  int handler_workers = 1;                   // SAGEMAKER_GUNICORN_WORKERS × SAGEMAKER_GUNICORN_THREADS
  std::chrono::seconds handler_timeout{30};  // SAGEMAKER_GUNICORN_TIMEOUT_SECONDS; 0: none
};

// Reads the variables. Those of nginx and gunicorn that have no meaning here (log levels, the worker class) are checked
// and otherwise without effect. kInvalidArgument names the variable and what it may hold.
Result<HostingOptions> ReadHostingOptions(const Environment& environment);

// The environment of this process.
Environment ProcessEnvironment();

}  // namespace sagebrush::serving
