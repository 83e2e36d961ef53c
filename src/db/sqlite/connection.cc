#include "db/sqlite/connection.h"

#include "base/check.h"

namespace sagebrush::db {
namespace {

struct StatementReset {
  sqlite3_stmt* statement;
  ~StatementReset() {
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
  }
};

Value ColumnValue(sqlite3_stmt* statement, int column) {
  switch (sqlite3_column_type(statement, column)) {
    case SQLITE_INTEGER:
      return static_cast<int64_t>(sqlite3_column_int64(statement, column));
    case SQLITE_FLOAT:
      return sqlite3_column_double(statement, column);
    case SQLITE_TEXT:
      return std::string(reinterpret_cast<const char*>(sqlite3_column_text(statement, column)),
                         static_cast<size_t>(sqlite3_column_bytes(statement, column)));
    case SQLITE_BLOB: {
      const char* bytes = static_cast<const char*>(sqlite3_column_blob(statement, column));
      size_t length = static_cast<size_t>(sqlite3_column_bytes(statement, column));
      return Blob{length == 0 ? std::string() : std::string(bytes, length)};
    }
    default:
      return nullptr;
  }
}

struct Binder {
  sqlite3_stmt* statement;
  int index;
  int operator()(std::nullptr_t) const { return sqlite3_bind_null(statement, index); }
  int operator()(int64_t value) const { return sqlite3_bind_int64(statement, index, value); }
  int operator()(double value) const { return sqlite3_bind_double(statement, index, value); }
  // The parameters outlive the step, so SQLite need not copy them.
  int operator()(const std::string& value) const {
    return sqlite3_bind_text64(statement, index, value.data(), value.size(), SQLITE_STATIC, SQLITE_UTF8);
  }
  int operator()(const Blob& value) const {
    return sqlite3_bind_blob64(statement, index, value.bytes.data() == nullptr ? "" : value.bytes.data(),
                               value.bytes.size(), SQLITE_STATIC);
  }
};

}  // namespace

Result<std::unique_ptr<Connection>> Connection::Open(const std::string& path) {
  sqlite3* handle = nullptr;
  int code =
      sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  std::unique_ptr<Connection> connection(new Connection(handle));
  if (code != SQLITE_OK) return Fail(connection->LastError("open " + path));
  sqlite3_busy_timeout(handle, 30'000);
  TRYV(
      connection->ExecuteScript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
                                "PRAGMA cache_size=-16384; PRAGMA temp_store=MEMORY;"));
  return connection;
}

Connection::~Connection() {
  for (auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(handle_);
}

Error Connection::LastError(std::string_view sql) const {
  int code = handle_ != nullptr ? sqlite3_errcode(handle_) & 0xFF : SQLITE_NOMEM;
  ErrorKind kind = ErrorKind::kInternal;
  if (code == SQLITE_CONSTRAINT) kind = ErrorKind::kAlreadyExists;
  if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB) kind = ErrorKind::kDataLoss;
  if (code == SQLITE_FULL || code == SQLITE_IOERR || code == SQLITE_BUSY || code == SQLITE_CANTOPEN) {
    kind = ErrorKind::kUnavailable;
  }
  std::string message = handle_ != nullptr ? sqlite3_errmsg(handle_) : "out of memory";
  return Error(kind, "database: " + message + " (" + std::string(sql.substr(0, 80)) + ")");
}

Result<sqlite3_stmt*> Connection::Prepare(std::string_view sql, const std::vector<Value>& parameters) {
  auto found = statements_.find(std::string(sql));
  if (found == statements_.end()) {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &statement,
                           nullptr) != SQLITE_OK) {
      return Fail(LastError(sql));
    }
    found = statements_.emplace(std::string(sql), statement).first;
  }
  sqlite3_stmt* statement = found->second;
  CHECK(static_cast<size_t>(sqlite3_bind_parameter_count(statement)) == parameters.size());
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (std::visit(Binder{statement, static_cast<int>(i) + 1}, parameters[i]) != SQLITE_OK) {
      return Fail(LastError(sql));
    }
  }
  return statement;
}

Result<void> Connection::ForEach(std::string_view sql, std::vector<Value> parameters,
                                 const std::function<bool(const Row&)>& visit) {
  TRY(sqlite3_stmt * statement, Prepare(sql, parameters));
  StatementReset reset{statement};
  while (true) {
    int code = sqlite3_step(statement);
    if (code == SQLITE_DONE) return {};
    if (code != SQLITE_ROW) return Fail(LastError(sql));
    std::vector<Value> columns;
    int count = sqlite3_column_count(statement);
    columns.reserve(static_cast<size_t>(count));
    for (int i = 0; i < count; ++i) columns.push_back(ColumnValue(statement, i));
    if (!visit(Row(std::move(columns)))) return {};
  }
}

Result<std::vector<Row>> Connection::Query(std::string_view sql, std::vector<Value> parameters) {
  std::vector<Row> rows;
  TRYV(ForEach(sql, std::move(parameters), [&rows](const Row& row) {
    rows.push_back(row);
    return true;
  }));
  return rows;
}

Result<int64_t> Connection::Execute(std::string_view sql, std::vector<Value> parameters) {
  TRYV(ForEach(sql, std::move(parameters), [](const Row&) { return true; }));
  return static_cast<int64_t>(sqlite3_changes64(handle_));
}

Result<void> Connection::ExecuteScript(std::string_view sql) {
  if (sqlite3_exec(handle_, std::string(sql).c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    return Fail(LastError(sql));
  }
  return {};
}

}  // namespace sagebrush::db
