#include "serving/server/options.h"

#include <CLI/CLI.hpp>

namespace sagebrush::serving {
namespace {

constexpr int kUsageExit = 2;

struct RawOptions {
  std::vector<std::string> models;
  std::string model_name = "default", model_base_path;
  double model_config_poll_seconds = 0, file_system_poll_seconds = 1;
  int rest_port = 8501, grpc_port = 8500;
  int64_t rest_timeout_ms = 30'000;
  std::optional<bool> enable_batching;
  std::string autotune;
  int autotune_seconds = 60;
};

constexpr const char* kIntraOpFlag = "--tensorflow_intra_op_parallelism";
constexpr const char* kInterOpFlag = "--tensorflow_inter_op_parallelism";
const std::map<std::string, TuningGoal> kGoals{
    {"balanced", TuningGoal::kBalanced}, {"latency", TuningGoal::kLatency}, {"throughput", TuningGoal::kThroughput}};

void AddModelFlags(CLI::App& app, ServerOptions& options, RawOptions& raw) {
  app.add_option("--model", raw.models, "A model to serve, NAME=DIRECTORY (of version directories); may be repeated");
  app.add_option("--model_name", raw.model_name, "Name of the model at --model_base_path")->capture_default_str();
  app.add_option("--model_base_path", raw.model_base_path, "Directory that holds a model's version directories");
  app.add_option("--model_config_file", options.model_config_file,
                 "TensorFlow Serving's ModelServerConfig in text form; replaces the other models");
  app.add_option("--model_config_file_poll_wait_seconds", raw.model_config_poll_seconds,
                 "Read the configuration again so often; 0: never")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--file_system_poll_wait_seconds", raw.file_system_poll_seconds,
                 "Look for new versions so often; 0: never")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_flag("--enable_model_warmup{true}", options.warmup,
               "Replay assets.extra/tf_serving_warmup_requests before a version is served")
      ->default_str("true");
}

void AddNetworkFlags(CLI::App& app, ServerOptions& options, RawOptions& raw) {
  app.add_option("--bind_address", options.bind_address, "Address to listen on; 0.0.0.0 for every interface")
      ->capture_default_str();
  app.add_option("--rest_api_port", raw.rest_port, "REST port; 0: off, -1: any free one")
      ->check(CLI::Range(-1, 65535))
      ->capture_default_str();
  app.add_option("--port", raw.grpc_port, "gRPC port; 0: off, -1: any free one")
      ->check(CLI::Range(-1, 65535))
      ->capture_default_str();
  app.add_option("--grpc_socket_path", options.grpc_socket_path, "A Unix socket for gRPC too");
  app.add_option("--rest_api_timeout_in_ms", raw.rest_timeout_ms, "Time limit of a REST call")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--max_body_bytes", options.max_body_bytes, "Largest request, after decompression")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--monitoring_config_file", options.monitoring_config_file,
                 "TensorFlow Serving's MonitoringConfig in text form; without it, Prometheus is on at its usual path");
  app.add_option("--ready_file", options.ready_file,
                 "Write the ports to this file (JSON) once they accept connections");
}

void AddComputeFlags(CLI::App& app, ServerOptions& options, RawOptions& raw) {
  app.add_option("--enable_batching", raw.enable_batching,
                 "true: batch by --batching_parameters_file; false: never batch; default: merge what queues up")
      ->expected(0, 1)
      ->default_str("adaptive");
  app.add_option("--batching_parameters_file", options.batching_parameters_file,
                 "TensorFlow Serving's BatchingParameters in text form");
  app.add_option(
      "--tensorflow", options.tensorflow_directory,
      "The folder `tensorflow` of TensorFlow's pip package (default: SAGEBRUSH_TENSORFLOW, VIRTUAL_ENV, python3)");
  app.add_option("--backend", options.backend,
                 "tensorflow; openvino; auto: OpenVINO for the models where it gives TensorFlow's results")
      ->transform(
          CLI::CheckedTransformer(std::map<std::string, BackendChoice>{{"tensorflow", BackendChoice::kTensorFlow},
                                                                       {"openvino", BackendChoice::kOpenVino},
                                                                       {"auto", BackendChoice::kAuto}}))
      ->default_str("tensorflow");
  app.add_option("--openvino", options.openvino_directory,
                 "The folder openvino/libs of OpenVINO's pip package (default: SAGEBRUSH_OPENVINO, beside TensorFlow)");
  app.add_option(kIntraOpFlag, options.intra_op_threads, "Threads within an operation; 0: one a core")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option(kInterOpFlag, options.inter_op_threads,
                 "Threads for operations side by side; -1: each request in its own thread, 0: one a core")
      ->check(CLI::Range(-1, 1024))
      ->capture_default_str();
  app.add_option("--onednn", options.onednn,
                 "true or false: oneDNN's kernels; default: TensorFlow decides by the processor");
  app.add_flag("--autotune{balanced}", raw.autotune,
               "Measure the models at the start and choose oneDNN and threads; for latency (one row alone), throughput "
               "(many rows, all cores) or, without a value, both")
      ->check(CLI::IsMember(kGoals))
      ->envname("SAGEBRUSH_AUTOTUNE");
  app.add_option("--autotune_seconds", raw.autotune_seconds, "Time limit of that")
      ->check(CLI::Range(1, 3600))
      ->capture_default_str();
  app.add_option("--rest_api_num_threads", options.io_threads,
                 "Event loops for network I/O, which compute quick requests themselves; 0: one a core")
      ->check(CLI::Range(0, 256))
      ->capture_default_str();
  app.add_option("--compute_threads", options.compute_threads, "Threads that decode, compute and encode; 0: two a core")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  app.add_option("--queue_limit", options.queue_limit, "Requests that may wait; beyond them 503 at once")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
}

Result<ModelConfig> MakeModel(std::string name, const std::filesystem::path& directory) {
  std::error_code failure;
  std::filesystem::path absolute = std::filesystem::absolute(directory, failure);
  if (name.empty() || directory.empty() || failure) {
    return Fail(
        InvalidArgument("--model takes NAME=DIRECTORY, for example --model half_plus_two=/models/half_plus_two"));
  }
  return ModelConfig{.name = std::move(name), .base_path = absolute.lexically_normal()};
}

std::optional<uint16_t> Port(int number) {
  if (number == 0) return std::nullopt;
  return static_cast<uint16_t>(number < 0 ? 0 : number);
}

std::chrono::milliseconds Millis(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

Result<void> Finish(ServerOptions& options, const RawOptions& raw) {
  for (const std::string& model : raw.models) {
    size_t equals = model.find('=');
    TRY(ModelConfig config, MakeModel(equals == std::string::npos ? "" : model.substr(0, equals),
                                      equals == std::string::npos ? "" : model.substr(equals + 1)));
    options.models.push_back(std::move(config));
  }
  if (!raw.model_base_path.empty()) {
    TRY(ModelConfig config, MakeModel(raw.model_name, raw.model_base_path));
    options.models.push_back(std::move(config));
  }
  if (options.models.empty() && options.model_config_file.empty() && !options.hosting) {
    return Fail(
        InvalidArgument("There is nothing to serve: name a model with --model NAME=DIRECTORY or --model_config_file."));
  }
  if (!options.model_config_file.empty() && !options.models.empty()) {
    return Fail(InvalidArgument("--model_config_file names all the models; leave out --model and --model_base_path."));
  }
  options.model_config_poll = Millis(raw.model_config_poll_seconds);
  options.file_system_poll = Millis(raw.file_system_poll_seconds);
  options.rest_port = Port(raw.rest_port);
  options.grpc_port = Port(raw.grpc_port);
  options.rest_timeout = std::chrono::milliseconds(raw.rest_timeout_ms);
  if (!raw.autotune.empty()) options.autotune = kGoals.at(raw.autotune);
  options.autotune_budget = std::chrono::seconds(raw.autotune_seconds);
  if (options.autotune && options.backend == BackendChoice::kOpenVino) {
    return Fail(InvalidArgument("--autotune chooses TensorFlow's settings, which --backend openvino does not use."));
  }
  if (raw.enable_batching) options.batching.enabled = *raw.enable_batching;
  if (!options.batching_parameters_file.empty() && !raw.enable_batching.value_or(false)) {
    return Fail(InvalidArgument("--batching_parameters_file has an effect only with --enable_batching."));
  }
  return {};
}

}  // namespace

ParsedOptions ParseOptions(int argc, const char* const* argv) {
  ServerOptions options;
  RawOptions raw;
  CLI::App app(
      "Serves TensorFlow SavedModels: TensorFlow Serving's REST and gRPC interfaces, and SageMaker's container "
      "contract.",
      "sagebrush-model-server");
  app.set_version_flag("--version", SAGEBRUSH_VERSION);
  AddModelFlags(app, options, raw);
  AddNetworkFlags(app, options, raw);
  AddComputeFlags(app, options, raw);
  app.fallthrough();  // of the commands below: they take all of the flags above
  CLI::App* serve = app.add_subcommand("serve",
                                       "Be a SageMaker inference container: models from /opt/ml/model, settings "
                                       "from the environment, /ping and /invocations on 8080");
  serve->add_option("--model_dir", options.model_directory, "What stands for /opt/ml/model (or /opt/ml/models)");
  serve->add_option("--python", options.python, "The Python that runs inference.py")->capture_default_str();
  CLI::App* measure = app.add_subcommand("measure", "")->group("");
  app.require_subcommand(0, 1);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& wanted) {
    std::ostringstream text, errors;
    int code = app.exit(wanted, text, errors);
    return {.message = text.str(), .exit_code = code};
  } catch (const CLI::ParseError& mistake) {
    return {.message = std::string(mistake.what()) + "\nRun with --help for the flags.\n", .exit_code = kUsageExit};
  }
  options.hosting = serve->parsed();
  options.measure = measure->parsed();
  options.threads_given = app.count(kIntraOpFlag) + app.count(kInterOpFlag) > 0;
  options.ports_given = app.count("--rest_api_port") + app.count("--port") > 0;
  Result<void> finished = Finish(options, raw);
  if (!finished) return {.message = finished.error().message + "\n", .exit_code = kUsageExit};
  return {.options = std::move(options)};
}

}  // namespace sagebrush::serving
