#include "serving/grpc/grpc_server.h"

#include <grpc/support/log.h>
#include <grpc/support/time.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include "base/log.h"
#include "serving/grpc/management_service.h"
#include "serving/grpc/prediction_service.h"

namespace sagebrush::serving {
namespace {

// gRPC's own complaints, in the form of all log lines.
void LogGrpc(gpr_log_func_args* args) {
  LogLevel level = args->severity == GPR_LOG_SEVERITY_ERROR ? LogLevel::kError : LogLevel::kDebug;
  Log(level, "grpc", {{"message", args->message}});
}

gpr_timespec After(std::chrono::milliseconds time) {
  return gpr_time_add(gpr_now(GPR_CLOCK_REALTIME), gpr_time_from_millis(time.count(), GPR_TIMESPAN));
}

}  // namespace

struct GrpcServer::State {
  explicit State(ModelService& service) : prediction(service), management(service) {}

  PredictionServiceImpl prediction;
  ManagementServiceImpl management;
  int port = 0;
  std::unique_ptr<::grpc::Server> server;  // ends before the services
};

GrpcServer::GrpcServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

GrpcServer::~GrpcServer() { Stop(std::chrono::milliseconds(0)); }

Result<std::unique_ptr<GrpcServer>> GrpcServer::Start(ModelService& service, const GrpcServerOptions& options) {
  if (!options.port && options.socket_path.empty()) {
    return Fail(InvalidArgument("gRPC has neither a port nor a socket path to listen on."));
  }
  gpr_set_log_function(LogGrpc);
  auto state = std::make_unique<State>(service);
  ::grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(options.max_message_bytes);
  builder.SetMaxSendMessageSize(options.max_message_bytes);
  // Otherwise two servers could share a port without noticing.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.RegisterService(&state->prediction);
  builder.RegisterService(&state->management);
  std::shared_ptr<::grpc::ServerCredentials> open = ::grpc::InsecureServerCredentials();
  std::string names;
  if (options.port) {
    bool ipv6 = options.address.contains(':') && !options.address.starts_with('[');
    names = fmt::format(fmt::runtime(ipv6 ? "[{}]:{}" : "{}:{}"), options.address, *options.port);
    builder.AddListeningPort(names, open, &state->port);
  }
  if (!options.socket_path.empty()) {
    builder.AddListeningPort("unix:" + options.socket_path.string(), open);
    names += (names.empty() ? "" : " or ") + options.socket_path.string();
  }
  state->server = builder.BuildAndStart();
  if (state->server == nullptr) {
    return Fail(Error(ErrorKind::kUnavailable, "Cannot listen for gRPC on " + names +
                                                   ": the address is in use, not this machine's or not permitted."));
  }
  return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(state)));
}

int GrpcServer::port() const { return state_->port; }

void GrpcServer::Stop(std::chrono::milliseconds drain) { state_->server->Shutdown(After(drain)); }

}  // namespace sagebrush::serving
