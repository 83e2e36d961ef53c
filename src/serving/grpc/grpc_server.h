#pragma once

#include <chrono>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "serving/core/model_service.h"

namespace sagebrush::serving {

struct GrpcServerOptions {
  std::string address = "0.0.0.0";
  std::optional<int> port;            // none: no TCP; 0: a free one, which port() tells
  std::filesystem::path socket_path;  // of a Unix socket; empty: none
  // Of a request or a reply. The default is the most that Protocol Buffers can carry, which is TensorFlow Serving's
  // too.
  int max_message_bytes = std::numeric_limits<int>::max();
};

// TensorFlow Serving's gRPC services (PredictionService, ModelService) over a ModelService, which outlives it. Requests
// are read and replies written by gRPC's threads, work is done on the service's executor. Thread-safe.
class GrpcServer {
 public:
  // Listens and serves. kInvalidArgument when there is nothing to listen on; kUnavailable when an address cannot be
  // bound.
  static Result<std::unique_ptr<GrpcServer>> Start(ModelService& service, const GrpcServerOptions& options);
  ~GrpcServer();  // as Stop with no patience
  GrpcServer(const GrpcServer&) = delete;

  int port() const;  // 0 without TCP

  // Takes no new connection or call, lets those under way end for so long, then cancels them, and returns when none is
  // left: the executor must be running until then. A second call does nothing.
  void Stop(std::chrono::milliseconds drain);

 private:
  struct State;
  explicit GrpcServer(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace sagebrush::serving
