#pragma once

#include <filesystem>
#include <functional>
#include <memory>

#include "base/ids.h"
#include "base/result.h"
#include "db/store.h"

namespace sagebrush::control {

// The control plane's tables and the engine's lease on them. Opening takes the lease: the epoch grows by one. Every
// write carries the epoch, so that an engine that lost its lease without noticing can change nothing (the directory
// lock already keeps a second engine of this machine out).
class Database {
 public:
  static Result<std::unique_ptr<Database>> Open(const std::filesystem::path& file);

  Epoch epoch() const { return epoch_; }
  // Runs `function` in one transaction after checking the lease; kFailedPrecondition when it is lost.
  Result<void> Write(std::function<Result<void>(db::Transaction&)> function);
  Result<void> Read(std::function<Result<void>(db::Transaction&)> function);

 private:
  Database(std::unique_ptr<db::Store> store, Epoch epoch) : store_(std::move(store)), epoch_(epoch) {}
  std::unique_ptr<db::Store> store_;
  const Epoch epoch_;
};

}  // namespace sagebrush::control
