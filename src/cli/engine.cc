#include "cli/engine.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <thread>

#include "api/edge.h"
#include "api/endpoints.h"
#include "api/iam.h"
#include "api/logs.h"
#include "api/metrics.h"
#include "api/sagemaker.h"
#include "api/sts.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/locations.h"
#include "cli/stop_limit.h"
#include "control/endpoint_config_frontend.h"
#include "control/endpoint_frontend.h"
#include "control/endpoint_reconciler.h"
#include "control/metrics_keeper.h"
#include "control/model_frontend.h"
#include "control/tag_frontend.h"
#include "control/training_job_frontend.h"
#include "control/training_job_reconciler.h"
#include "driver/sandbox/sandbox_driver.h"
#include "http/server.h"

namespace sagebrush::cli {
namespace fs = std::filesystem;
namespace {

constexpr std::chrono::milliseconds kStopGrace{3000};

Result<io::UniqueFd> LockDataDirectory(const fs::path& directory) {
  TRY(io::UniqueFd lock, io::Open(directory / "engine.lock", O_RDWR | O_CREAT, 0600));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return lock;
  if (errno != EWOULDBLOCK) return Fail(FromErrno(errno, "cannot lock " + directory.string()));
  return Fail(Error(ErrorKind::kFailedPrecondition, "an engine runs on " + directory.string() +
                                                        " already: use it, stop it, or choose another --data-dir"));
}

Result<http::TcpEndpoint> ParseListen(const std::string& listen) {
  auto [host, port_text] = HostAndPort(listen);
  std::optional<int64_t> port = ParseInt(port_text);
  if (!port || *port > 65535) return Fail(InvalidArgument("--listen " + listen + ": a port is a number up to 65535"));
  return http::TcpEndpoint{host, static_cast<uint16_t>(*port)};
}

// What the owner adds to the built-in catalogue of images.
fs::path ImagesFile(const ServeOptions& options) {
  if (!options.images_file.empty()) return options.images_file;
  fs::path file = options.data_dir / "images.toml";
  std::error_code ignored;
  return fs::is_regular_file(file, ignored) ? file : fs::path();
}

metricstore::Retention MetricRetention(const ServeOptions& options) {
  constexpr int64_t kHourMs = metricstore::Retention::kHourMs, kDayMs = 24 * kHourMs;
  return {.seconds_ms = options.metrics_seconds_hours * kHourMs,
          .minutes_ms = options.metrics_minutes_days * kDayMs,
          .five_minutes_ms = options.metrics_five_minutes_days * kDayMs,
          .hours_ms = options.metrics_hours_days * kDayMs};
}

std::string HostName() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "localhost";
}

// Programs run as root inside their instances, which is this user outside (driver/sandbox).
objstore::BlobOwner InstanceOwner() {
  if (::geteuid() == 0) return {100'000, 100'000};
  return {::geteuid(), ::getegid()};
}

// The s3:// plug-in's directory. Jobs run without it too, but TensorFlow in them then knows no s3:// paths.
fs::path FindTensorFlowS3() {
  fs::path directory = BesideThisProgram("tensorflow-s3");
  std::error_code error;
  if (fs::is_regular_file(directory / "libsagebrush_tf_s3.so", error)) return directory;
  Log(LogLevel::kWarning, "tensorflow_s3_missing", {{"directory", directory.string()}});
  return {};
}

// The commands of instances. Without them mpirun reaches no other host.
fs::path FindCommands() {
  fs::path directory = BesideThisProgram("instance-commands");
  std::error_code error;
  if (fs::is_regular_file(directory / "ssh", error)) return directory;
  Log(LogLevel::kWarning, "instance_commands_missing", {{"directory", directory.string()}});
  return {};
}

}  // namespace

// In order of construction; destroyed in reverse.
struct Engine::Parts {
  ServeOptions options;
  SystemClock clock;
  io::UniqueFd lock;
  std::optional<control::KeyRing> keys;
  std::unique_ptr<http::CertificateAuthority> authority;
  std::optional<io::EventLoops> loops;  // connections
  std::optional<io::Runtime> runtime;   // accepting, and the blocking pool
  std::unique_ptr<objstore::ObjectStore> objects;
  std::unique_ptr<logstore::LogStore> logs;
  std::unique_ptr<metricstore::MetricStore> metrics;
  std::optional<metricstore::Recorder> recorder;
  std::unique_ptr<control::Database> database;
  std::unique_ptr<driver::SandboxDriver> driver;
  std::optional<control::TrainingJobTable> jobs;
  std::optional<control::TagTable> tags;
  std::optional<control::ModelTable> models;
  std::optional<control::EndpointConfigTable> endpoint_configs;
  std::optional<control::InstanceMetrics> instance_metrics;
  std::optional<control::TrainingMetrics> training_metrics;
  std::unique_ptr<control::MetricsKeeper> metrics_keeper;
  std::unique_ptr<control::TrainingJobReconciler> reconciler;  // declared before what calls it
  std::unique_ptr<control::LogPump> log_pump;
  std::unique_ptr<control::CheckpointSync> checkpoints;
  std::unique_ptr<control::EnvironmentCache> images;
  std::unique_ptr<control::TrainingJobFrontend> frontend;
  std::optional<control::ModelFrontend> model_frontend;
  std::optional<control::EndpointConfigFrontend> endpoint_config_frontend;
  std::optional<control::EndpointTable> endpoints;
  routing::Router router;
  std::unique_ptr<routing::Invoker> invoker;
  std::optional<control::EndpointMetrics> endpoint_metrics;
  std::unique_ptr<control::EndpointReconciler> endpoint_reconciler;
  std::unique_ptr<control::EndpointFrontend> endpoint_frontend;
  std::optional<control::TagFrontend> tag_frontend;
  api::JsonService sagemaker{"1.1"}, logs_service{"1.1"}, metrics_service{"1.0"};
  api::QueryService query;
  std::optional<api::LogsApi> logs_api;
  std::optional<api::MetricsApi> metrics_api;
  std::unique_ptr<api::S3Service> s3;
  std::optional<api::RuntimeApi> runtime_api;
  std::optional<api::Edge> edge;
  std::unique_ptr<http::Server> server;
  std::string endpoint;

  Result<void> OpenStores();
  Result<void> OpenControl();
  Result<void> OpenEndpoints(const control::Arns& arns);
  std::vector<control::TagFrontend::Kind> TagKinds();
  Result<void> OpenServices();
  Result<void> Announce();
};

Result<void> Engine::Parts::OpenStores() {
  const fs::path& directory = options.data_dir;
  TRYV(io::MakeDirectories(directory, 0700));
  TRY(lock, LockDataDirectory(directory));
  TRY(keys, control::KeyRing::Open(directory / "credentials.json"));
  TRY(authority, http::CertificateAuthority::Open(directory / "ca", HostName()));
  TRYV(authority->WriteBundle(directory / "ca" / "bundle.pem"));
  loops.emplace(static_cast<int>(options.io_threads));
  runtime.emplace(1, static_cast<int>(options.blocking_threads));
  TRY(objects, objstore::ObjectStore::Open(directory / "objects", InstanceOwner(), clock));
  TRY(logs, logstore::LogStore::Open(directory / "logs", clock));
  TRY(metrics, metricstore::MetricStore::Open(directory / "metrics", clock, MetricRetention(options)));
  recorder.emplace(*metrics, clock);
  TRY(database, control::Database::Open(directory / "control.db"));
  return {};
}

Result<void> Engine::Parts::OpenControl() {
  objstore::BlobOwner owner = InstanceOwner();
  fs::path instances = options.data_dir / "instances";
  driver::SandboxDriver::Options driver_options;
  driver_options.instances_directory = instances;
  driver_options.agent_binary = options.agent.empty() ? BesideThisProgram("sagebrush-agent") : options.agent;
  driver_options.uid = owner.uid;
  driver_options.gid = owner.gid;
  TRY(driver, driver::SandboxDriver::Open(std::move(driver_options)));
  jobs.emplace(*database);
  tags.emplace(*database);
  models.emplace(*database);
  endpoint_configs.emplace(*database);
  control::Arns arns{options.account, options.region};
  TRY(control::ImageCatalog catalog, control::ImageCatalog::Load(ImagesFile(options)));
  control::EnvironmentCache::Options image_options;
  image_options.directory = options.images_cache.empty() ? options.data_dir / "images" : options.images_cache;
  image_options.uv = FindUv(options.uv, options.data_dir).string();
  if (image_options.uv.empty()) image_options.uv = "uv";
  image_options.wheels = options.wheels;
  image_options.on_change = [this] {
    reconciler->WakeAll();
    endpoint_reconciler->WakeAll();
  };
  images = std::make_unique<control::EnvironmentCache>(std::move(catalog), std::move(image_options));
  log_pump = std::make_unique<control::LogPump>(*driver, *logs);
  instance_metrics.emplace(*driver, *metrics, clock);
  training_metrics.emplace(*metrics, *logs, *instance_metrics);
  metrics_keeper = std::make_unique<control::MetricsKeeper>(*recorder, *instance_metrics, *metrics);
  log_pump->SetFollower(
      [this](const InstanceId& id, uint64_t recorded) { return training_metrics->CatchUp(id, recorded); });
  checkpoints = std::make_unique<control::CheckpointSync>(*driver, *objects);
  frontend = std::make_unique<control::TrainingJobFrontend>(
      *jobs, clock,
      control::TrainingJobFrontend::Options{arns, [this](const JobName& job) { reconciler->Wake(job); },
                                            &*training_metrics});
  model_frontend.emplace(*models, clock, arns);
  endpoint_config_frontend.emplace(*endpoint_configs, *model_frontend, clock, arns);
  control::TrainingJobReconciler::Options reconciler_options;
  reconciler_options.region = options.region;
  reconciler_options.capacity_vcpus = options.capacity_vcpus > 0
                                          ? static_cast<double>(options.capacity_vcpus)
                                          : 4.0 * std::max(1u, std::thread::hardware_concurrency());
  reconciler_options.gang_wait_ms = options.gang_wait_seconds * 1000;
  reconciler_options.engine_socket = options.data_dir / "engine.sock";
  reconciler_options.ca_bundle = options.data_dir / "ca" / "bundle.pem";
  reconciler_options.tensorflow_s3 = FindTensorFlowS3();
  reconciler_options.commands = FindCommands();
  reconciler_options.owner = owner;
  reconciler_options.epoch = database->epoch();
  reconciler_options.metrics = &*training_metrics;
  reconciler_options.arn_of = [this](const std::string& job) { return frontend->ArnOf(job); };
  reconciler = std::make_unique<control::TrainingJobReconciler>(
      *jobs, *images, *objects, *driver, *log_pump, *checkpoints, *keys, clock, std::move(reconciler_options));
  TRYV(OpenEndpoints(arns));
  driver->SetListener([this](const InstanceId& id, driver::News news) {
    if (news == driver::News::kLog) return log_pump->Wake(id);
    if (control::EndpointOf(id).empty()) return reconciler->WakeInstance(id);
    endpoint_reconciler->WakeInstance(id);
  });
  return {};
}

Result<void> Engine::Parts::OpenEndpoints(const control::Arns& arns) {
  endpoints.emplace(*database);
  routing::Invoker::Options invoker_options;
  endpoint_metrics.emplace(*recorder, *instance_metrics);
  invoker_options.timeout = std::chrono::seconds(options.invocation_timeout_seconds);
  invoker_options.observe = [this](const routing::InvocationRecord& record) { endpoint_metrics->Invoked(record); };
  invoker = std::make_unique<routing::Invoker>(*runtime, router, *driver, std::move(invoker_options));
  control::EndpointReconciler::Options reconciler_options;
  reconciler_options.region = options.region;
  reconciler_options.engine_socket = options.data_dir / "engine.sock";
  reconciler_options.ca_bundle = options.data_dir / "ca" / "bundle.pem";
  reconciler_options.model_server =
      options.model_server.empty() ? BesideThisProgram("sagebrush-model-server") : options.model_server;
  reconciler_options.owner = InstanceOwner();
  reconciler_options.epoch = database->epoch();
  reconciler_options.arn_of = [this](const std::string& name) { return endpoint_frontend->ArnOf(name); };
  reconciler_options.metrics = &*endpoint_metrics;
  endpoint_reconciler = std::make_unique<control::EndpointReconciler>(
      *endpoints, *images, *objects, *driver, *log_pump, *keys, router, *invoker, clock, std::move(reconciler_options));
  endpoint_frontend = std::make_unique<control::EndpointFrontend>(
      *endpoints, *endpoint_config_frontend, *model_frontend, clock,
      control::EndpointFrontend::Options{arns,
                                         [this](const control::EndpointName& name) { endpoint_reconciler->Wake(name); },
                                         options.endpoint_start_seconds * 1000});
  tag_frontend.emplace(*tags, arns, TagKinds());
  return {};
}

std::vector<control::TagFrontend::Kind> Engine::Parts::TagKinds() {
  auto check = [](auto& resources) {
    return [&resources](const std::string& name) -> Result<void> {
      TRYV(resources.Get(name));
      return {};
    };
  };
  return {{"training-job",
           [this](const std::string& name) -> Result<void> {
             TRYV(jobs->Get(JobName(name)));
             return {};
           }},
          {"model", check(*model_frontend)},
          {"endpoint-config", check(*endpoint_config_frontend)},
          {"endpoint", [this](const std::string& name) -> Result<void> {
             TRYV(endpoints->Get(control::EndpointName(name)));
             return {};
           }}};
}

Result<void> Engine::Parts::OpenServices() {
  api::Installation installation{options.account, options.region};
  api::RegisterSageMaker(sagemaker, {*frontend, *model_frontend, *endpoint_config_frontend, *tag_frontend});
  logs_api.emplace(*logs, clock, installation);
  logs_api->Register(logs_service);
  metrics_api.emplace(*metrics, clock);
  metrics_api->Register(metrics_service);
  metrics_api->Register(query);
  api::RegisterSts(query, installation);
  api::RegisterIam(query, installation);
  s3 = std::make_unique<api::S3Service>(*runtime, *objects, installation);
  api::RegisterEndpoints(sagemaker, *endpoint_frontend);
  runtime_api.emplace(*invoker,
                      api::RuntimeApi::Options{installation, static_cast<size_t>(options.max_invocation_bytes)});
  edge.emplace(*runtime, api::Edge::Services{sagemaker, logs_service, metrics_service, query, *runtime_api, *s3}, *keys,
               clock);

  http::ServerOptions server_options;
  TRY(http::TcpEndpoint endpoint_address, ParseListen(options.listen));
  server_options.tcp = {endpoint_address};
  server_options.unix_socket = options.data_dir / "engine.sock";
  server_options.unix_host = driver::kEngineAddress;  // instances are its clients
  server_options.authority = authority.get();
  server_options.loops = &*loops;
  server = std::make_unique<http::Server>(*runtime, std::move(server_options),
                                          [this](http::Request& request) { return edge->Handle(request); });
  TRYV(server->Start());
  std::string host = endpoint_address.address;
  if (host.find(':') != std::string::npos) host = "[" + host + "]";
  endpoint = "http://" + host + ":" + std::to_string(server->tcp_ports().at(0));
  return {};
}

Result<void> Engine::Parts::Announce() {
  boost::json::object record{
      {"endpoint", endpoint},     {"pid", ::getpid()},          {"socket", (options.data_dir / "engine.sock").string()},
      {"region", options.region}, {"account", options.account}, {"version", SAGEBRUSH_VERSION}};
  TRYV(io::WriteFile(options.data_dir / "engine.json", boost::json::serialize(record) + "\n", 0600));
  Log(LogLevel::kInfo, "engine_ready",
      {{"endpoint", endpoint}, {"data_dir", options.data_dir.string()}, {"epoch", database->epoch().value}});
  return {};
}

Engine::Engine(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Result<std::unique_ptr<Engine>> Engine::Open(const ServeOptions& options) {
  auto parts = std::make_unique<Parts>();
  parts->options = options;
  TRYV(parts->OpenStores());
  TRYV(parts->OpenControl());
  TRYV(parts->OpenServices());
  // From here on the destructor takes the running parts down.
  std::unique_ptr<Engine> engine(new Engine(std::move(parts)));
  engine->parts_->log_pump->Start();
  engine->parts_->checkpoints->Start();
  engine->parts_->metrics_keeper->Start();
  TRYV(engine->parts_->reconciler->Start());
  TRYV(engine->parts_->endpoint_reconciler->Start());
  TRYV(engine->parts_->Announce());
  return engine;
}

Engine::~Engine() {
  std::error_code ignored;
  fs::remove(parts_->options.data_dir / "engine.json", ignored);
  // Whoever wakes others goes first: no hint, request or build reaches a part that is gone.
  StopReaches("hints of instances");
  parts_->driver->SetListener(nullptr);
  parts_->reconciler->BeginStop();
  parts_->endpoint_reconciler->BeginStop();
  parts_->log_pump->BeginStop();
  parts_->checkpoints->BeginStop();
  parts_->images->BeginStop();
  StopReaches("training jobs");
  parts_->reconciler->Stop();
  StopReaches("endpoints");
  parts_->endpoint_reconciler->Stop();
  StopReaches("log lines");
  parts_->log_pump->Stop();
  StopReaches("checkpoints");
  parts_->checkpoints->Stop();
  StopReaches("metrics");
  parts_->metrics_keeper->Stop();
  StopReaches("images");
  parts_->images.reset();
  StopReaches("stores and connections");
  Log(LogLevel::kInfo, "engine_stopped");
}

const std::string& Engine::endpoint() const { return parts_->endpoint; }

void Engine::Run() { parts_->runtime->Run(); }

void Engine::RequestStop() {
  parts_->server->StopAndWait(kStopGrace);
  parts_->runtime->Stop();
}

}  // namespace sagebrush::cli
