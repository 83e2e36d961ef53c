#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace sagebrush::db {

struct Blob {
  std::string bytes;
};
using Value = std::variant<std::nullptr_t, int64_t, double, std::string, Blob>;

// One row of a result; columns by position. Asking for another type than stored is a broken invariant (CHECK).
class Row {
 public:
  explicit Row(std::vector<Value> columns) : columns_(std::move(columns)) {}
  size_t size() const { return columns_.size(); }
  bool IsNull(size_t column) const { return std::holds_alternative<std::nullptr_t>(columns_.at(column)); }
  int64_t Int(size_t column) const;
  double Real(size_t column) const;
  const std::string& Text(size_t column) const;
  const std::string& Bytes(size_t column) const;
  std::string TextOr(size_t column, std::string_view fallback) const;
  int64_t IntOr(size_t column, int64_t fallback) const;

 private:
  std::vector<Value> columns_;
};

// What runs inside one transaction. Statements are SQL with ? placeholders, kept to what SQLite and PostgreSQL share
// where that is possible. Prepared statements are cached by text.
class Transaction {
 public:
  virtual ~Transaction() = default;
  virtual Result<std::vector<Row>> Query(std::string_view sql, std::vector<Value> parameters = {}) = 0;
  // Calls `visit` for each row until it returns false; holds one row at a time.
  virtual Result<void> ForEach(std::string_view sql, std::vector<Value> parameters,
                               const std::function<bool(const Row&)>& visit) = 0;
  // Returns the number of rows changed.
  virtual Result<int64_t> Execute(std::string_view sql, std::vector<Value> parameters = {}) = 0;
};

// A transactional store. Thread-safe; every call blocks (call it from the blocking pool).
// Obligations on an implementation:
//  1. Write returns success only after the transaction would survive a power cut.
//  2. Write functions run one after another, never at once; several may share one commit (group commit), yet a
//     function that returns an error leaves no trace and does not disturb its neighbours.
//  3. Read sees one consistent snapshot that includes every Write that returned before it began.
//  4. A function must not call Write or Read of the same store.
class Store {
 public:
  virtual ~Store() = default;
  virtual Result<void> Write(std::function<Result<void>(Transaction&)> function) = 0;
  virtual Result<void> Read(std::function<Result<void>(Transaction&)> function) = 0;
};

// Statements that bring an empty database to the current form, in order; each runs once, in one transaction with the
// record that it ran (table schema_version). Only ever append.
using Migrations = std::span<const std::string_view>;

// Opens or creates a SQLite database: WAL, synchronous=FULL, one writer thread with group commit.
Result<std::unique_ptr<Store>> OpenSqlite(const std::string& path, Migrations migrations);

}  // namespace sagebrush::db
