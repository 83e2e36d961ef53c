#include "db/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <latch>
#include <thread>

#include "io/file.h"

namespace sagebrush::db {
namespace {

constexpr std::array<std::string_view, 1> kFirst = {
    "CREATE TABLE numbers (n INTEGER PRIMARY KEY, text TEXT, real REAL, bytes BLOB) STRICT"};
constexpr std::array<std::string_view, 2> kSecond = {
    kFirst[0], "CREATE TABLE more (n INTEGER PRIMARY KEY) STRICT; INSERT INTO more SELECT n FROM numbers"};
constexpr std::array<std::string_view, 2> kBroken = {kFirst[0], "CREATE TABLE more (n INTEGER) STRICT; NONSENSE"};

class StoreTest : public testing::Test {
 protected:
  StoreTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "db-test-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    Open(kFirst);
  }
  ~StoreTest() override {
    store_.reset();
    std::filesystem::remove_all(directory_);
  }

  std::string path() const { return (directory_ / "test.db").string(); }
  void Open(Migrations migrations) {
    store_.reset();
    auto opened = OpenSqlite(path(), migrations);
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    store_ = std::move(*opened);
  }
  Result<void> Insert(int64_t n) {
    return store_->Write([n](Transaction& tx) -> Result<void> {
      TRYV(tx.Execute("INSERT INTO numbers (n) VALUES (?)", {n}));
      return {};
    });
  }
  int64_t Count() {
    int64_t count = -1;
    auto read = store_->Read([&count](Transaction& tx) -> Result<void> {
      TRY(auto rows, tx.Query("SELECT COUNT(*) FROM numbers"));
      count = rows[0].Int(0);
      return {};
    });
    EXPECT_TRUE(read.has_value());
    return count;
  }

  std::filesystem::path directory_;
  std::unique_ptr<Store> store_;
};

TEST_F(StoreTest, EveryTypeOfValueComesBack) {
  std::string binary("a\0b", 3);
  ASSERT_TRUE(store_
                  ->Write([&](Transaction& tx) -> Result<void> {
                    TRY(int64_t changed,
                        tx.Execute("INSERT INTO numbers VALUES (?, ?, ?, ?), (?, NULL, NULL, ?)",
                                   {int64_t{1}, std::string("text ü"), 2.5, Blob{binary}, int64_t{2}, Blob{""}}));
                    EXPECT_EQ(changed, 2);
                    return {};
                  })
                  .has_value());
  Open(kFirst);
  ASSERT_TRUE(store_
                  ->Read([&](Transaction& tx) -> Result<void> {
                    TRY(auto rows, tx.Query("SELECT n, text, real, bytes FROM numbers ORDER BY n"));
                    EXPECT_EQ(rows[0].Int(0), 1);
                    EXPECT_EQ(rows[0].Text(1), "text ü");
                    EXPECT_EQ(rows[0].Real(2), 2.5);
                    EXPECT_EQ(rows[0].Bytes(3), binary);
                    EXPECT_TRUE(rows[1].IsNull(1));
                    EXPECT_EQ(rows[1].TextOr(1, "none"), "none");
                    EXPECT_EQ(rows[1].IntOr(2, 7), 7);
                    EXPECT_EQ(rows[1].Bytes(3), "");
                    return {};
                  })
                  .has_value());
}

TEST_F(StoreTest, AFailedWriteLeavesNoTrace) {
  ASSERT_TRUE(Insert(1).has_value());
  Result<void> failed = store_->Write([](Transaction& tx) -> Result<void> {
    TRYV(tx.Execute("INSERT INTO numbers (n) VALUES (2)"));
    return Fail(InvalidArgument("changed my mind"));
  });
  EXPECT_EQ(failed.error().message, "changed my mind");
  EXPECT_EQ(Insert(1).error().kind, ErrorKind::kAlreadyExists) << "a constraint";
  EXPECT_EQ(Count(), 1);
}

// While one write is held, others queue up: they share the next commit, and a failing one does not disturb the rest.
TEST_F(StoreTest, WritesOfOneGroupAreIsolatedFromEachOther) {
  std::latch started(1), release(1);
  std::jthread first([&] {
    EXPECT_TRUE(store_
                    ->Write([&](Transaction&) -> Result<void> {
                      started.count_down();
                      release.wait();
                      return {};
                    })
                    .has_value());
  });
  started.wait();
  std::atomic<int> failures = 0;
  {
    std::vector<std::jthread> writers;
    for (int64_t n = 0; n < 20; ++n) {
      writers.emplace_back([&, n] {
        failures += !store_
                         ->Write([n](Transaction& tx) -> Result<void> {
                           TRYV(tx.Execute("INSERT INTO numbers (n) VALUES (?)", {n}));
                           if (n % 2 == 1) return Fail(InvalidArgument("odd"));
                           return {};
                         })
                         .has_value();
      });
    }
    release.count_down();
  }
  EXPECT_EQ(failures, 10);
  EXPECT_EQ(Count(), 10);
}

TEST_F(StoreTest, ATransactionThatTheDatabaseRolledBackFailsAsAWhole) {
  // As SQLite does by itself when the disk is full.
  Result<void> rolled_back = store_->Write([](Transaction& tx) -> Result<void> {
    TRYV(tx.Execute("INSERT INTO numbers (n) VALUES (1)"));
    TRYV(tx.Execute("ROLLBACK"));
    return {};
  });
  EXPECT_FALSE(rolled_back.has_value());
  EXPECT_EQ(Count(), 0);
  EXPECT_TRUE(Insert(2).has_value());
  EXPECT_EQ(Count(), 1);
}

TEST_F(StoreTest, WriteFunctionsNeverOverlap) {
  std::atomic<int> inside = 0;
  std::atomic<bool> overlapped = false;
  {
    std::vector<std::jthread> writers;
    for (int64_t n = 0; n < 50; ++n) {
      writers.emplace_back([&, n] {
        EXPECT_TRUE(store_
                        ->Write([&, n](Transaction& tx) -> Result<void> {
                          if (++inside != 1) overlapped = true;
                          Result<int64_t> done = tx.Execute("INSERT INTO numbers (n) VALUES (?)", {n});
                          --inside;
                          if (!done) return Fail(done.error());
                          return {};
                        })
                        .has_value());
      });
    }
  }
  EXPECT_FALSE(overlapped);
  EXPECT_EQ(Count(), 50);
}

// Writers add pairs; a reader that sees half of one has no snapshot.
TEST_F(StoreTest, ReadersSeeConsistentSnapshotsAndTheirOwnWrites) {
  std::atomic<bool> stop = false;
  std::vector<std::jthread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (!stop) {
        EXPECT_TRUE(store_
                        ->Read([](Transaction& tx) -> Result<void> {
                          TRY(auto first, tx.Query("SELECT COUNT(*) FROM numbers"));
                          TRY(auto second, tx.Query("SELECT COUNT(*) FROM numbers WHERE n >= 0"));
                          EXPECT_EQ(first[0].Int(0) % 2, 0);
                          EXPECT_EQ(first[0].Int(0), second[0].Int(0));
                          return {};
                        })
                        .has_value());
      }
    });
  }
  for (int64_t n = 0; n < 100; n += 2) {
    ASSERT_TRUE(store_
                    ->Write([n](Transaction& tx) -> Result<void> {
                      TRYV(tx.Execute("INSERT INTO numbers (n) VALUES (?)", {n}));
                      TRYV(tx.Execute("INSERT INTO numbers (n) VALUES (?)", {n + 1}));
                      return {};
                    })
                    .has_value());
    ASSERT_EQ(Count(), n + 2);
  }
  stop = true;
}

TEST_F(StoreTest, ForEachStopsWhenAskedTo) {
  for (int64_t n = 0; n < 5; ++n) ASSERT_TRUE(Insert(n).has_value());
  std::vector<int64_t> seen;
  ASSERT_TRUE(store_
                  ->Read([&seen](Transaction& tx) {
                    return tx.ForEach("SELECT n FROM numbers ORDER BY n", {}, [&seen](const Row& row) {
                      seen.push_back(row.Int(0));
                      return seen.size() < 2;
                    });
                  })
                  .has_value());
  EXPECT_THAT(seen, testing::ElementsAre(0, 1));
}

TEST_F(StoreTest, MigrationsRunOnceAndInOrder) {
  ASSERT_TRUE(Insert(7).has_value());
  Open(kSecond);
  Open(kSecond);
  ASSERT_TRUE(store_
                  ->Read([](Transaction& tx) -> Result<void> {
                    TRY(auto rows, tx.Query("SELECT n FROM more"));
                    EXPECT_EQ(rows.size(), 1u);
                    return {};
                  })
                  .has_value());
}

TEST_F(StoreTest, ABrokenMigrationLeavesTheDatabaseAsItWas) {
  store_.reset();
  EXPECT_FALSE(OpenSqlite(path(), kBroken).has_value());
  Open(kSecond);
  EXPECT_EQ(Count(), 0);
}

TEST_F(StoreTest, ANewerDatabaseIsRefused) {
  Open(kSecond);
  store_.reset();
  auto opened = OpenSqlite(path(), kFirst);
  ASSERT_FALSE(opened.has_value());
  EXPECT_THAT(opened.error().message, testing::HasSubstr("newer Sagebrush"));
}

TEST_F(StoreTest, AFileThatIsNoDatabaseIsRefused) {
  store_.reset();
  std::filesystem::remove(path());
  std::filesystem::remove(path() + "-wal");
  ASSERT_TRUE(io::WriteFile(path(), std::string(8192, 'x')).has_value());
  auto opened = OpenSqlite(path(), kFirst);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().kind, ErrorKind::kDataLoss);
}

}  // namespace
}  // namespace sagebrush::db
