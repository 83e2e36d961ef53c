#include "control/request_rows.h"

#include "control/tag_table.h"

namespace sagebrush::control {

Result<bool> CreatedBefore(db::Transaction& tx, const std::string& table, const std::string& noun,
                           const std::string& name, const std::string& arn, const std::string& invocation_id) {
  TRY(auto existing, tx.Query("SELECT invocation_id FROM " + table + " WHERE name = ?", {name}));
  if (existing.empty()) return false;
  if (!invocation_id.empty() && existing[0].Text(0) == invocation_id) return true;
  return Fail(Error(ErrorKind::kAlreadyExists, "Cannot create already existing " + noun + " \"" + arn + "\".",
                    "ValidationException"));
}

Error RequestRows::Unknown(const std::string& name_or_arn) const {
  return NotFound("Could not find " + noun_ + " \"" + name_or_arn + "\".", "ValidationException");
}

Result<void> RequestRows::Insert(const NewRow& row, const std::string& invocation_id) {
  return database_.Write([&](db::Transaction& tx) -> Result<void> {
    TRY(bool before, CreatedBefore(tx, table_, noun_, row.name, row.arn, invocation_id));
    if (before) return {};
    TRYV(tx.Execute("INSERT INTO " + table_ + " (name, created_ms, invocation_id, request) VALUES (?, ?, ?, ?)",
                    {row.name, row.created_ms, invocation_id, row.request}));
    return SetTags(tx, row.arn, row.tags);
  });
}

Result<RequestRows::StoredRow> RequestRows::Get(const std::string& name) {
  std::vector<db::Row> rows;
  TRYV(database_.Read([&](db::Transaction& tx) -> Result<void> {
    TRY(rows, tx.Query("SELECT request, created_ms FROM " + table_ + " WHERE name = ?", {name}));
    return {};
  }));
  if (rows.empty()) return Fail(Unknown(name));
  return StoredRow{rows[0].Text(0), rows[0].Int(1)};
}

Result<void> RequestRows::Remove(const std::string& name, const std::string& arn) {
  return database_.Write([&](db::Transaction& tx) -> Result<void> {
    TRY(int64_t removed, tx.Execute("DELETE FROM " + table_ + " WHERE name = ?", {name}));
    if (removed == 0) return Fail(Unknown(arn));
    return SetTags(tx, arn, {});
  });
}

}  // namespace sagebrush::control
