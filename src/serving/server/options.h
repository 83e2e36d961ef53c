#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "serving/core/batching_parameters.h"
#include "serving/core/model_spec.h"
#include "serving/tuning/choice.h"

namespace sagebrush::serving {

enum class BackendChoice { kTensorFlow, kOpenVino, kAuto };

// What sagebrush-model-server is told on its command line. TensorFlow Serving's flags keep their names and meanings.
struct ServerOptions {
  // --model NAME=DIRECTORY, --model_name with --model_base_path
  std::vector<ModelConfig> models;
  std::filesystem::path model_config_file;           // replaces `models`; empty: none
  std::chrono::milliseconds model_config_poll{0};    // 0: read once
  std::chrono::milliseconds file_system_poll{1000};  // 0: version directories are looked at once

  std::string bind_address = "127.0.0.1";
  std::optional<uint16_t> rest_port = 8501;  // nullopt: off; 0: any free one
  std::optional<uint16_t> grpc_port = 8500;
  std::filesystem::path grpc_socket_path;
  std::chrono::milliseconds rest_timeout{30'000};
  size_t max_body_bytes = 256ULL << 20;

  BatchingParameters batching;
  std::filesystem::path batching_parameters_file, monitoring_config_file;
  bool warmup = true;

  BackendChoice backend = BackendChoice::kTensorFlow;
  std::filesystem::path tensorflow_directory, openvino_directory;  // empty: looked for
  int intra_op_threads = 1, inter_op_threads = -1;
  std::optional<bool> onednn;          // nullopt: TensorFlow decides by the processor
  bool threads_given = false;          // by flags or the container's environment
  std::optional<TuningGoal> autotune;  // measure the models, then choose oneDNN and threads
  std::chrono::seconds autotune_budget{60};

  int io_threads = 0;         // event loops, which also decode, compute and encode quick requests; 0: one a core
  int compute_threads = 0;    // decode, compute, encode all others; 0: two a core
  size_t queue_limit = 4096;  // requests that wait for a compute thread; beyond them 503

  bool measure = false;                   // "measure": what a process of --autotune does; `models` hold versions
  bool hosting = false;                   // "serve": the contract of a SageMaker inference container
  bool ports_given = false;               // by flags, so that they go before the environment's
  std::filesystem::path model_directory;  // empty: /opt/ml/model, or /opt/ml/models for several models
  std::string python = "python3";         // runs inference.py
  std::filesystem::path ready_file;       // written with the bound ports once every listener accepts; empty: none
};

// The outcome of parsing: options, or what is to be printed (help, version, a mistake) and the exit code.
struct ParsedOptions {
  std::optional<ServerOptions> options;
  std::string message;
  int exit_code = 0;
};
ParsedOptions ParseOptions(int argc, const char* const* argv);

}  // namespace sagebrush::serving
