#include "control/database.h"

namespace sagebrush::control {
namespace {

// Append only. `request` is the CreateTrainingJob request as JSON, `state` is domain::TrainingJobState as JSON; the
// other columns are what lists filter and sort by.
constexpr std::string_view kMigrations[] = {
    R"sql(
CREATE TABLE lease (only INTEGER PRIMARY KEY CHECK (only = 1), epoch INTEGER NOT NULL) STRICT;
INSERT INTO lease VALUES (1, 0);
CREATE TABLE training_jobs (
  name TEXT PRIMARY KEY,
  status TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  modified_ms INTEGER NOT NULL,
  active INTEGER NOT NULL,         -- 1 until final and cleaned up
  invocation_id TEXT NOT NULL,     -- of the call that created it
  request TEXT NOT NULL,
  state TEXT NOT NULL
) STRICT;
CREATE INDEX training_jobs_by_creation ON training_jobs (created_ms, name);
CREATE INDEX training_jobs_active ON training_jobs (active) WHERE active = 1;
CREATE TABLE intents (
  id TEXT PRIMARY KEY,             -- job/attempt/verb/rank
  job TEXT NOT NULL REFERENCES training_jobs (name),
  epoch INTEGER NOT NULL,          -- of the engine that committed it
  committed_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE tags (
  arn TEXT NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  position INTEGER NOT NULL,
  PRIMARY KEY (arn, key)
) STRICT;
)sql",
    // `request` is the Create request as JSON; of an endpoint, `state` is domain::EndpointState as JSON.
    R"sql(
CREATE TABLE models (
  name TEXT PRIMARY KEY,
  created_ms INTEGER NOT NULL,
  invocation_id TEXT NOT NULL,
  request TEXT NOT NULL
) STRICT;
CREATE TABLE endpoint_configs (
  name TEXT PRIMARY KEY,
  created_ms INTEGER NOT NULL,
  invocation_id TEXT NOT NULL,
  request TEXT NOT NULL
) STRICT;
CREATE TABLE endpoints (
  name TEXT PRIMARY KEY,
  status TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  modified_ms INTEGER NOT NULL,
  invocation_id TEXT NOT NULL,
  state TEXT NOT NULL
) STRICT;
)sql"};

}  // namespace

Result<std::unique_ptr<Database>> Database::Open(const std::filesystem::path& file) {
  TRY(std::unique_ptr<db::Store> store, db::OpenSqlite(file.string(), kMigrations));
  Epoch epoch;
  TRYV(store->Write([&epoch](db::Transaction& tx) -> Result<void> {
    TRYV(tx.Execute("UPDATE lease SET epoch = epoch + 1"));
    TRY(auto rows, tx.Query("SELECT epoch FROM lease"));
    epoch = Epoch{rows.at(0).Int(0)};
    return {};
  }));
  return std::unique_ptr<Database>(new Database(std::move(store), epoch));
}

Result<void> Database::Write(std::function<Result<void>(db::Transaction&)> function) {
  return store_->Write([this, function = std::move(function)](db::Transaction& tx) -> Result<void> {
    TRY(auto rows, tx.Query("SELECT epoch FROM lease"));
    if (rows.at(0).Int(0) != epoch_.value) {
      return Fail(Error(ErrorKind::kFailedPrecondition, "another engine has taken over this data directory"));
    }
    return function(tx);
  });
}

Result<void> Database::Read(std::function<Result<void>(db::Transaction&)> function) {
  return store_->Read(std::move(function));
}

}  // namespace sagebrush::control
