#include "serving/server/model_server.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <thread>

#include "base/log.h"
#include "http/server.h"
#include "io/cores.h"
#include "io/file.h"
#include "io/runtime.h"
#include "serving/backends/automatic/automatic_backend.h"
#include "serving/backends/openvino/openvino_backend.h"
#include "serving/backends/tensorflow/tensorflow_backend.h"
#include "serving/config/config_files.h"
#include "serving/grpc/grpc_server.h"
#include "serving/invocations/artifact.h"
#include "serving/invocations/hosting_api.h"
#include "serving/invocations/hosting_options.h"
#include "serving/lifecycle/model_manager.h"
#include "serving/lifecycle/warmup_replay.h"
#include "serving/rest/rest_api.h"
#include "serving/server/autotuned.h"

namespace sagebrush::serving {
namespace {

namespace asio = boost::asio;

constexpr std::chrono::seconds kDrain{10};
constexpr int kControlThreads = 1;  // accepts, signals, timers
constexpr int kBlockingThreads = 2;

Result<std::unique_ptr<Backend>> MakeTensorFlow(const ServerOptions& options,
                                                const Result<std::filesystem::path>& directory) {
  if (!directory) return Fail(directory.error());
  return MakeTensorFlowBackend({.library_directory = *directory,
                                .intra_op_threads = options.intra_op_threads,
                                .inter_op_threads = options.inter_op_threads,
                                .onednn = options.onednn});
}

Result<std::unique_ptr<Backend>> MakeOpenVino(const ServerOptions& options, const std::filesystem::path& tensorflow) {
  std::filesystem::path directory = options.openvino_directory;
  if (directory.empty()) {
    TRY(directory, FindOpenVinoLibrary(tensorflow));
  }
  return MakeOpenVinoBackend({.library_directory = directory, .threads_per_run = options.intra_op_threads});
}

Result<std::unique_ptr<Backend>> MakeBackend(const ServerOptions& options) {
  Result<std::filesystem::path> directory =
      options.tensorflow_directory.empty() ? FindTensorFlowLibrary() : options.tensorflow_directory;
  if (options.backend == BackendChoice::kTensorFlow) return MakeTensorFlow(options, directory);
  TRY(std::unique_ptr<Backend> openvino, MakeOpenVino(options, directory.value_or("")));
  if (options.backend == BackendChoice::kOpenVino) return openvino;
  TRY(std::unique_ptr<Backend> tensorflow, MakeTensorFlow(options, directory));
  return MakeAutomaticBackend(std::move(tensorflow), std::move(openvino));
}

}  // namespace

class ModelServer::Impl {
 public:
  explicit Impl(ServerOptions options)
      : options_(std::move(options)),
        loops_(options_.io_threads > 0 ? options_.io_threads : io::UsableCores()),
        runtime_(kControlThreads, kBlockingThreads),
        executor_(options_.compute_threads > 0 ? options_.compute_threads : 2 * io::UsableCores(),
                  options_.queue_limit) {}

  ~Impl() {
    if (!stopped_) {
      // Never served: the servers' coroutines have not run, and run now only to end.
      std::jthread thread([this] { runtime_.Run(); });
      for (auto* server : {hosting_server_.get(), rest_server_.get()}) {
        if (server != nullptr) server->StopAndWait(std::chrono::milliseconds(0));
      }
      runtime_.Stop();
    }
    hosting_api_.reset();
    handlers_.reset();
    if (!work_directory_.empty()) (void)io::RemoveTree(work_directory_);
  }

  Result<void> Start() {
    TRYV(ReadFiles());
    if (options_.hosting) TRYV(ReadHosting());
    if (options_.autotune) Autotune(options_);
    TRY(backend_, MakeBackend(options_));
    ModelManagerOptions manager{.poll_interval = options_.file_system_poll,
                                .loads_stand_back = options_.backend == BackendChoice::kTensorFlow,
                                .batching = options_.batching};
    if (options_.warmup) manager.replay_warmup = ReplayWarmup;
    manager_ = std::make_unique<ModelManager>(*backend_, metrics_, executor_, std::move(manager));
    TRYV(manager_->Reload(options_.models));
    if (options_.hosting) TRYV(StartHandlers());
    return Listen();
  }

  void ServeUntilSignal() {
    asio::co_spawn(runtime_.context(), StopOnSignal(), asio::detached);
    if (!options_.model_config_file.empty() && options_.model_config_poll.count() > 0) {
      asio::co_spawn(runtime_.context(), FollowConfigFile(), asio::detached);
    }
    runtime_.Run();
    stopped_ = true;
  }

 private:
  Result<void> ReadFiles() {
    if (!options_.model_config_file.empty()) {
      TRY(options_.models, ReadModelConfigFile(options_.model_config_file));
    }
    if (!options_.batching_parameters_file.empty()) {
      TRY(options_.batching, ReadBatchingParametersFile(options_.batching_parameters_file));
    }
    if (!options_.monitoring_config_file.empty()) {
      TRY(monitoring_, ReadMonitoringConfigFile(options_.monitoring_config_file));
    }
    return {};
  }

  // The settings and models of a hosting container.
  Result<void> ReadHosting() {
    TRY(hosting_, ReadHostingOptions(ProcessEnvironment()));
    if (options_.model_directory.empty()) {
      options_.model_directory = hosting_.multi_model ? "/opt/ml/models" : "/opt/ml/model";
    }
    if (hosting_.batching) options_.batching = *hosting_.batching;
    options_.intra_op_threads = hosting_.intra_op_threads.value_or(options_.intra_op_threads);
    options_.inter_op_threads = hosting_.inter_op_threads.value_or(options_.inter_op_threads);
    options_.threads_given |= hosting_.intra_op_threads || hosting_.inter_op_threads;
    if (!options_.ports_given) {
      options_.rest_port = hosting_.rest_port;
      options_.grpc_port = hosting_.grpc_port;
    }
    if (hosting_.multi_model) return {};
    TRY(options_.models, FindModels(options_.model_directory));
    TRY(hosting_.default_model, ChooseDefaultModel(options_.models, hosting_.default_model));
    return {};
  }

  Result<void> StartHandlers() {
    char directory[] = "/tmp/sagebrush-model-server-XXXXXX";
    if (::mkdtemp(directory) == nullptr) return Fail(FromErrno(errno, directory));
    work_directory_ = directory;
    handlers_ = std::make_unique<Handlers>(HandlersOptions{.python = options_.python,
                                                           .work_directory = work_directory_,
                                                           .workers = hosting_.handler_workers,
                                                           .call_timeout = hosting_.handler_timeout},
                                           *manager_);
    std::optional<HandlerCode> code = FindHandlerCode(options_.model_directory);
    return code ? handlers_->Add("", *code) : Result<void>();
  }

  Result<void> ListenHosting(std::vector<std::string>& ports) {
    HostingApiOptions api{.default_model = hosting_.default_model,
                          .multi_model = hosting_.multi_model,
                          .load_timeout = hosting_.wait_time,
                          .body_limit = options_.max_body_bytes,
                          .concurrent_requests = io::UsableCores()};
    if (rest_server_) api.rest_port = rest_server_->tcp_ports()[0];
    if (grpc_server_) api.grpc_port = static_cast<uint16_t>(grpc_server_->port());
    hosting_api_ = std::make_unique<HostingApi>(runtime_, *manager_, *handlers_, std::move(api));
    hosting_server_ = std::make_unique<http::Server>(
        runtime_, http::ServerOptions{.tcp = {{options_.bind_address, hosting_.bind_port}}, .loops = &loops_},
        [this](http::Request& request) { return hosting_api_->Handle(request); });
    TRYV(hosting_server_->Start());
    ports.push_back(fmt::format("\"hosting\": {}", hosting_server_->tcp_ports()[0]));
    return {};
  }

  Result<void> Listen() {
    std::vector<std::string> ports;
    if (options_.rest_port) {
      rest_ = std::make_unique<RestApi>(
          *manager_, RestApiOptions{.timeout = options_.rest_timeout, .body_limit = options_.max_body_bytes});
      rest_server_ = std::make_unique<http::Server>(
          runtime_, http::ServerOptions{.tcp = {{options_.bind_address, *options_.rest_port}}, .loops = &loops_},
          [this](http::Request& request) { return Answer(request); });
      TRYV(rest_server_->Start());
      ports.push_back(fmt::format("\"rest\": {}", rest_server_->tcp_ports()[0]));
    }
    if (options_.grpc_port || !options_.grpc_socket_path.empty()) {
      GrpcServerOptions grpc{.address = options_.bind_address, .socket_path = options_.grpc_socket_path};
      if (options_.grpc_port) grpc.port = *options_.grpc_port;
      TRY(grpc_server_, GrpcServer::Start(*manager_, grpc));
      if (options_.grpc_port) ports.push_back(fmt::format("\"grpc\": {}", grpc_server_->port()));
    }
    if (options_.hosting) TRYV(ListenHosting(ports));
    std::string text = fmt::format("{{{}}}", fmt::join(ports, ", "));
    Log(LogLevel::kInfo, "serving", {{"address", options_.bind_address}, {"ports", text}});
    if (options_.ready_file.empty()) return {};
    return io::WriteFileDurably(options_.ready_file, text + "\n", 0644);
  }

  asio::awaitable<http::Response> Answer(http::Request& request) {
    if (monitoring_.prometheus_enabled && request.path == monitoring_.prometheus_path && request.method == "GET") {
      return Metrics();
    }
    return rest_->Handle(request);
  }

  asio::awaitable<http::Response> Metrics() {
    http::Response response;
    response.headers.Add("Content-Type", "text/plain; version=0.0.4");
    response.body = metrics_.Text();
    co_return response;
  }

  // Reads the model configuration again whenever its time comes; a file that cannot be used changes nothing.
  asio::awaitable<void> FollowConfigFile() {
    asio::steady_timer timer(runtime_.context());
    while (true) {
      timer.expires_after(options_.model_config_poll);
      co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
      Result<void> reloaded = co_await io::OnBlockingPool(runtime_, [this]() -> Result<void> {
        TRY(std::vector<ModelConfig> models, ReadModelConfigFile(options_.model_config_file));
        return manager_->Reload(std::move(models));
      });
      if (!reloaded) Log(LogLevel::kError, "model_config_not_followed", {{"error", reloaded.error().message}});
    }
  }

  asio::awaitable<void> StopOnSignal() {
    co_await signals_.async_wait(asio::as_tuple(asio::use_awaitable));
    Log(LogLevel::kInfo, "stopping");
    if (hosting_server_) co_await hosting_server_->Stop(kDrain);
    if (rest_server_) co_await rest_server_->Stop(kDrain);
    if (grpc_server_) {
      co_await io::OnBlockingPool(runtime_, [this] {
        grpc_server_->Stop(kDrain);
        return true;
      });
    }
    runtime_.Stop();
  }

  // In the order in which they depend on each other: what comes later ends first.
  ServerOptions options_;
  MonitoringConfig monitoring_{.prometheus_enabled = true};
  ServingMetrics metrics_;
  std::unique_ptr<Backend> backend_;
  io::EventLoops loops_;
  io::Runtime runtime_;
  asio::signal_set signals_{runtime_.context(), SIGTERM, SIGINT};  // caught from the first on, taken by StopOnSignal
  Executor executor_;
  std::unique_ptr<ModelManager> manager_;
  HostingOptions hosting_;
  std::filesystem::path work_directory_;
  std::unique_ptr<Handlers> handlers_;
  std::unique_ptr<RestApi> rest_;
  std::unique_ptr<HostingApi> hosting_api_;
  std::unique_ptr<http::Server> rest_server_, hosting_server_;
  std::unique_ptr<GrpcServer> grpc_server_;
  bool stopped_ = false;
};

ModelServer::ModelServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ModelServer::~ModelServer() = default;

Result<std::unique_ptr<ModelServer>> ModelServer::Start(ServerOptions options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  TRYV(impl->Start());
  return std::unique_ptr<ModelServer>(new ModelServer(std::move(impl)));
}

void ModelServer::ServeUntilSignal() { impl_->ServeUntilSignal(); }

}  // namespace sagebrush::serving
