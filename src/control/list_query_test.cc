#include "control/list_query.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <tuple>

#include "control/test_database.h"

namespace sagebrush::control {
namespace {

struct TestRow {
  std::string name, status;
  int64_t created_ms = 0, modified_ms = 0;
};

std::vector<TestRow> Fill(Database& database) {
  std::vector<TestRow> rows;
  int count = *rc::gen::inRange(0, 12);
  for (int i = 0; i < count; ++i) {
    TestRow row;
    row.name = *rc::gen::element<std::string>("a", "b", "Ab", "a%") + std::to_string(i);
    row.status = *rc::gen::element<std::string>("Creating", "InService", "Failed");
    row.created_ms = *rc::gen::inRange<int64_t>(990, 1010);  // few values, of 3 and 4 digits
    row.modified_ms = row.created_ms + *rc::gen::inRange<int64_t>(0, 5);
    rows.push_back(row);
  }
  RC_ASSERT(database.Write([&](db::Transaction& tx) -> Result<void> {
    TRYV(tx.Execute("DELETE FROM endpoints"));
    for (const TestRow& row : rows) {
      TRYV(
          tx.Execute("INSERT INTO endpoints (name, status, created_ms, modified_ms, invocation_id, state) "
                     "VALUES (?, ?, ?, ?, '', '')",
                     {row.name, row.status, row.created_ms, row.modified_ms}));
    }
    return {};
  }));
  return rows;
}

ListOptions AnyOptions() {
  ListOptions options;
  options.sort_by = *rc::gen::element<std::optional<std::string>>(std::nullopt, "Name", "CreationTime", "Status");
  options.sort_order = *rc::gen::element<std::optional<std::string>>(std::nullopt, "Ascending", "Descending");
  options.name_contains = *rc::gen::element<std::optional<std::string>>(std::nullopt, "a", "%", "1");
  options.status_equals = *rc::gen::element<std::optional<std::string>>(std::nullopt, "Creating");
  auto time = [] {
    return *rc::gen::map(rc::gen::inRange<int64_t>(985, 1015), [](int64_t ms) -> std::optional<wire::Timestamp> {
      return ms % 2 == 0 ? std::nullopt : std::optional(wire::Timestamp{ms});
    });
  };
  options.created_after = time();
  options.created_before = time();
  options.modified_after = time();
  options.modified_before = time();
  return options;
}

// What the list is by its definition.
std::vector<std::string> Expected(std::vector<TestRow> rows, const ListOptions& options) {
  std::erase_if(rows, [&](const TestRow& row) {
    return (options.name_contains && !row.name.contains(*options.name_contains)) ||
           (options.status_equals && row.status != *options.status_equals) ||
           (options.created_after && row.created_ms <= options.created_after->ms) ||
           (options.created_before && row.created_ms >= options.created_before->ms) ||
           (options.modified_after && row.modified_ms <= options.modified_after->ms) ||
           (options.modified_before && row.modified_ms >= options.modified_before->ms);
  });
  std::string sort_by = options.sort_by.value_or("CreationTime");
  auto key = [&](const TestRow& row) {
    return std::tuple(sort_by == "CreationTime" ? row.created_ms : 0, sort_by == "Status" ? row.status : "", row.name);
  };
  std::ranges::sort(rows, {}, key);
  if (options.sort_order.value_or("Descending") == "Descending") std::ranges::reverse(rows);
  std::vector<std::string> names;
  for (const TestRow& row : rows) names.push_back(row.name);
  return names;
}

TEST(ListQuery, PagesOfAnySizeMakeTheFilteredAndSortedList) {
  TestDatabase database;
  EXPECT_TRUE(rc::check([&database] {
    std::vector<TestRow> rows = Fill(*database);
    ListOptions options = AnyOptions();
    options.max_results = *rc::gen::inRange<int64_t>(1, 14);
    std::vector<std::string> names;
    do {
      Result<ListPage> page = ReadListPage(*database, "endpoints", "name, status", options);
      RC_ASSERT(page);
      RC_ASSERT(page->rows.size() <= static_cast<size_t>(*options.max_results));
      for (const db::Row& row : page->rows) names.push_back(row.Text(0));
      options.next_token = page->next_token;
    } while (options.next_token);
    RC_ASSERT(names == Expected(rows, options));
  }));
}

TEST(ListQuery, ATokenOfAnotherKindIsRefused) {
  TestDatabase database;
  for (const char* token : {"garbage!", "bm8gbmV3bGluZQ==", "eAp5"}) {  // the last two: "no newline", "x\ny"
    ListOptions options;
    options.next_token = token;
    Result<ListPage> page = ReadListPage(*database, "endpoints", "name", options);
    ASSERT_FALSE(page) << token;
    EXPECT_EQ(page.error().code, "ValidationException");
    EXPECT_TRUE(page.error().message.starts_with("NextToken ")) << page.error().message;
  }
}

}  // namespace
}  // namespace sagebrush::control
