#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "base/result.h"
#include "cli/serve.h"

namespace sagebrush::cli {

// The engine, put together: the data directory's lock, keys and certificate authority, the three stores, the sandbox
// driver, the control plane, the services and the server. Open builds and recovers in that order (the lease is taken
// and every active job loaded before the first request is answered); the destructor takes apart in reverse.
//
// Files in the data directory: engine.lock (held for life), engine.json (where to find the engine; written when it is
// ready, removed at a clean stop), engine.sock, credentials.json, ca/, objects/, logs/, control.db, instances/,
// images/, and what the owner may put there: sagebrush.toml, images.toml.
class Engine {
 public:
  static Result<std::unique_ptr<Engine>> Open(const ServeOptions& options);
  ~Engine();
  Engine(const Engine&) = delete;

  const std::string& endpoint() const;
  // Serves until RequestStop. Requests under way get a few seconds to end; jobs go on without the engine.
  void Run();
  void RequestStop();  // async-signal-unsafe; any thread

 private:
  struct Parts;
  explicit Engine(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace sagebrush::cli
