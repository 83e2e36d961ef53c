#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "control/database.h"
#include "gen/sagemaker.h"

namespace sagebrush::control {

// Whether the same call (invocation id, not empty) has created the row of that name already. ValidationException when
// another one has. Within the transaction that inserts the row otherwise.
Result<bool> CreatedBefore(db::Transaction& tx, const std::string& table, const std::string& noun,
                           const std::string& name, const std::string& arn, const std::string& invocation_id);

// The rows of a resource that is nothing but the request that created it: a table with the columns name, created_ms,
// invocation_id and request (JSON). Thread-safe; calls block.
class RequestRows {
 public:
  // `noun` is what messages call the resource. Both are literals.
  RequestRows(Database& database, std::string_view table, std::string_view noun)
      : database_(database), table_(table), noun_(noun) {}

  struct NewRow {
    std::string name, arn, request;
    int64_t created_ms = 0;
    std::vector<gen::sagemaker::Tag> tags;
  };
  // ValidationException when the name exists, unless the same call (invocation id, not empty) created it: then success.
  Result<void> Insert(const NewRow& row, const std::string& invocation_id);
  struct StoredRow {
    std::string request;
    int64_t created_ms = 0;
  };
  // kNotFound (ValidationException) for an unknown name.
  Result<StoredRow> Get(const std::string& name);
  // With its tags. kNotFound (ValidationException) for an unknown name.
  Result<void> Remove(const std::string& name, const std::string& arn);

 private:
  Error Unknown(const std::string& name_or_arn) const;

  Database& database_;
  const std::string table_, noun_;
};

}  // namespace sagebrush::control
