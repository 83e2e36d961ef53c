#pragma once

#include <memory>

#include "base/result.h"
#include "serving/server/options.h"

namespace sagebrush::serving {

// The whole server, put together from its options: backend, models, executor, and the front ends that are asked for.
class ModelServer {
 public:
  // Loads TensorFlow and the models, then begins to listen. The error says which model cannot be served and why, or
  // what else is missing.
  static Result<std::unique_ptr<ModelServer>> Start(ServerOptions options);
  ~ModelServer();
  ModelServer(const ModelServer&) = delete;

  // Serves until SIGTERM or SIGINT, then lets requests in flight end (for ten seconds at most) and returns.
  void ServeUntilSignal();

 private:
  class Impl;
  explicit ModelServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sagebrush::serving
