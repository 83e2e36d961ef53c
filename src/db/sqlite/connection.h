#pragma once

#include <sqlite3.h>

#include <string>
#include <unordered_map>

#include "db/store.h"

namespace sagebrush::db {

// One SQLite connection with its prepared statements. Used by one thread at a time.
class Connection final : public Transaction {
 public:
  static Result<std::unique_ptr<Connection>> Open(const std::string& path);
  ~Connection() override;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  Result<std::vector<Row>> Query(std::string_view sql, std::vector<Value> parameters) override;
  Result<void> ForEach(std::string_view sql, std::vector<Value> parameters,
                       const std::function<bool(const Row&)>& visit) override;
  Result<int64_t> Execute(std::string_view sql, std::vector<Value> parameters) override;
  // Several statements without parameters, e.g. a migration.
  Result<void> ExecuteScript(std::string_view sql);
  bool InTransaction() const { return sqlite3_get_autocommit(handle_) == 0; }

 private:
  explicit Connection(sqlite3* handle) : handle_(handle) {}
  Result<sqlite3_stmt*> Prepare(std::string_view sql, const std::vector<Value>& parameters);
  Error LastError(std::string_view sql) const;

  sqlite3* handle_;
  std::unordered_map<std::string, sqlite3_stmt*> statements_;
};

}  // namespace sagebrush::db
