#pragma once

#include <stdlib.h>

#include <filesystem>

#include "control/database.h"

namespace sagebrush::control {

// A control database in a directory of its own, for tests of tables and frontends.
class TestDatabase {
 public:
  TestDatabase() {
    char pattern[] = "/tmp/sagebrush-control-XXXXXX";
    directory_ = ::mkdtemp(pattern);
    database_ = *Database::Open(directory_ / "control.db");
  }
  ~TestDatabase() {
    database_.reset();
    std::filesystem::remove_all(directory_);
  }
  TestDatabase(const TestDatabase&) = delete;

  Database& operator*() { return *database_; }

 private:
  std::filesystem::path directory_;
  std::unique_ptr<Database> database_;
};

}  // namespace sagebrush::control
