#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "base/failpoint.h"
#include "db/sqlite/connection.h"

namespace sagebrush::db {
namespace {

constexpr size_t kLargestBatch = 256;

// One thread owns the writing connection and commits everything that queued up while the last commit was syncing.
// Readers borrow connections from a free list that grows to the number of concurrent readers.
// Crash behaviour: SQLite's WAL; a Write that has not returned may or may not be there.
class SqliteStore final : public Store {
 public:
  SqliteStore(std::string path, std::unique_ptr<Connection> writer)
      : path_(std::move(path)), writer_(std::move(writer)), thread_([this] { CommitLoop(); }) {}

  ~SqliteStore() override {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }

  Result<void> Write(std::function<Result<void>(Transaction&)> function) override {
    Pending pending{std::move(function)};
    std::unique_lock lock(mutex_);
    queue_.push_back(&pending);
    wake_.notify_one();
    done_.wait(lock, [&] { return pending.done; });
    return std::move(pending.outcome);
  }

  Result<void> Read(std::function<Result<void>(Transaction&)> function) override {
    TRY(std::unique_ptr<Connection> reader, BorrowReader());
    TRYV(reader->Execute("BEGIN", {}));
    Result<void> outcome = function(*reader);
    TRYV(reader->Execute("COMMIT", {}));
    std::lock_guard lock(mutex_);
    readers_.push_back(std::move(reader));
    return outcome;
  }

 private:
  struct Pending {
    std::function<Result<void>(Transaction&)> function;
    Result<void> outcome{};
    bool done = false;
  };

  Result<std::unique_ptr<Connection>> BorrowReader() {
    {
      std::lock_guard lock(mutex_);
      if (!readers_.empty()) {
        std::unique_ptr<Connection> reader = std::move(readers_.back());
        readers_.pop_back();
        return reader;
      }
    }
    return Connection::Open(path_);
  }

  void CommitLoop() {
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;
      std::vector<Pending*> batch;
      while (!queue_.empty() && batch.size() < kLargestBatch) {
        batch.push_back(queue_.front());
        queue_.pop_front();
      }
      lock.unlock();
      Commit(batch);
      lock.lock();
      for (Pending* pending : batch) pending->done = true;
      done_.notify_all();
    }
  }

  void Commit(const std::vector<Pending*>& batch) {
    Result<int64_t> begun = writer_->Execute("BEGIN IMMEDIATE", {});
    if (begun) {
      for (Pending* pending : batch) {
        pending->outcome = RunInSavepoint(*pending);
        // A full disk or an I/O error makes SQLite roll the whole transaction back by itself.
        if (!writer_->InTransaction()) {
          begun = Fail(pending->outcome ? Error(ErrorKind::kUnavailable, "database: the transaction was rolled back")
                                        : pending->outcome.error());
          break;
        }
      }
      if (begun) {
        FAILPOINT("db.before_commit");
        begun = writer_->Execute("COMMIT", {});
        FAILPOINT("db.after_commit");
      }
    }
    if (begun) return;
    // Nothing of the batch is stored.
    if (writer_->InTransaction()) static_cast<void>(writer_->ExecuteScript("ROLLBACK"));
    for (Pending* pending : batch) pending->outcome = Fail(begun.error());
  }

  Result<void> RunInSavepoint(Pending& pending) {
    TRYV(writer_->Execute("SAVEPOINT one", {}));
    Result<void> outcome = pending.function(*writer_);
    if (!outcome) TRYV(writer_->Execute("ROLLBACK TO one", {}));
    TRYV(writer_->Execute("RELEASE one", {}));
    return outcome;
  }

  const std::string path_;
  std::unique_ptr<Connection> writer_;  // the commit thread's alone
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::deque<Pending*> queue_;                        // guarded by mutex_
  std::vector<std::unique_ptr<Connection>> readers_;  // guarded by mutex_
  bool stopping_ = false;                             // guarded by mutex_
  std::thread thread_;
};

Result<void> Migrate(Connection& connection, Migrations migrations) {
  TRYV(connection.ExecuteScript("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL) STRICT"));
  TRY(auto rows, connection.Query("SELECT COALESCE(MAX(version), 0) FROM schema_version", {}));
  size_t version = static_cast<size_t>(rows[0].Int(0));
  if (version > migrations.size()) {
    return Fail(Error(ErrorKind::kFailedPrecondition, "this data directory was written by a newer Sagebrush (schema " +
                                                          std::to_string(version) + ", this one knows " +
                                                          std::to_string(migrations.size()) + "): upgrade Sagebrush"));
  }
  for (; version < migrations.size(); ++version) {
    TRYV(connection.ExecuteScript("BEGIN IMMEDIATE"));
    Result<void> done = connection.ExecuteScript(migrations[version]);
    if (done) {
      auto recorded = connection.Execute("INSERT INTO schema_version VALUES (?)", {static_cast<int64_t>(version + 1)});
      if (!recorded) done = Fail(recorded.error());
    }
    TRYV(connection.ExecuteScript(done ? "COMMIT" : "ROLLBACK"));
    if (!done) return done;
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Store>> OpenSqlite(const std::string& path, Migrations migrations) {
  TRY(auto connection, Connection::Open(path));
  TRYV(Migrate(*connection, migrations));
  return std::make_unique<SqliteStore>(path, std::move(connection));
}

}  // namespace sagebrush::db
