#include "control/list_query.h"

#include "base/text.h"

namespace sagebrush::control {
namespace {

constexpr int64_t kDefaultMaxResults = 10;

struct ListPosition {
  std::string sort_value;
  std::string name;
};

std::string EncodeToken(const ListPosition& position) {
  return Base64Encode(position.sort_value + "\n" + position.name);
}

std::optional<ListPosition> DecodeToken(const std::string& token) {
  std::optional<std::string> text = Base64Decode(token);
  size_t newline = text ? text->find('\n') : std::string::npos;
  if (newline == std::string::npos) return std::nullopt;
  return ListPosition{text->substr(0, newline), text->substr(newline + 1)};
}

std::string SortColumn(const ListOptions& options) {
  std::string sort_by = options.sort_by.value_or("CreationTime");
  return sort_by == "Name" ? "name" : sort_by == "Status" ? "status" : "created_ms";
}

struct ListQuery {
  std::string sql;
  std::vector<db::Value> parameters;

  void Where(std::string_view condition, db::Value parameter) {
    sql += " AND " + std::string(condition);
    parameters.push_back(std::move(parameter));
  }
};

void AddFilters(ListQuery& query, const ListOptions& options) {
  if (options.created_after) query.Where("created_ms > ?", options.created_after->ms);
  if (options.created_before) query.Where("created_ms < ?", options.created_before->ms);
  if (options.modified_after) query.Where("modified_ms > ?", options.modified_after->ms);
  if (options.modified_before) query.Where("modified_ms < ?", options.modified_before->ms);
  if (options.name_contains) query.Where("instr(name, ?) > 0", *options.name_contains);
  if (options.status_equals) query.Where("status = ?", *options.status_equals);
}

// Rows behind the one that the token names, in the order of the list.
Result<void> AddPosition(ListQuery& query, const std::string& token, const std::string& sort_column, bool descending) {
  std::optional<ListPosition> position = DecodeToken(token);
  db::Value sort_value;
  if (position && sort_column == "created_ms") {
    std::optional<int64_t> created_ms = ParseInt(position->sort_value);
    if (!created_ms) position.reset();
    sort_value = created_ms.value_or(0);
  } else if (position) {
    sort_value = position->sort_value;
  }
  if (!position) {
    return Fail(InvalidArgument(
        "NextToken is not one that this operation returned for this order: leave it out to begin at the first page.",
        "ValidationException"));
  }
  query.Where("(" + sort_column + ", name) " + (descending ? "<" : ">") + " (?, ?)", std::move(sort_value));
  query.parameters.emplace_back(position->name);
  return {};
}

}  // namespace

Result<ListPage> ReadListPage(Database& database, std::string_view table, std::string_view columns,
                              const ListOptions& options) {
  auto limit = static_cast<size_t>(options.max_results.value_or(kDefaultMaxResults));
  bool descending = options.sort_order.value_or("Descending") == "Descending";
  std::string sort_column = SortColumn(options);
  ListQuery query;
  query.sql = "SELECT " + std::string(columns) + ", CAST(" + sort_column + " AS TEXT), name FROM " +
              std::string(table) + " WHERE 1 = 1";
  AddFilters(query, options);
  if (options.next_token) TRYV(AddPosition(query, *options.next_token, sort_column, descending));
  std::string direction = descending ? " DESC" : " ASC";
  query.sql += " ORDER BY " + sort_column + direction + ", name" + direction + " LIMIT ?";
  query.parameters.emplace_back(static_cast<int64_t>(limit + 1));

  ListPage page;
  TRYV(database.Read([&](db::Transaction& tx) -> Result<void> {
    TRY(page.rows, tx.Query(query.sql, query.parameters));
    return {};
  }));
  if (page.rows.size() <= limit) return page;
  page.rows.pop_back();
  const db::Row& last = page.rows.back();
  page.next_token = EncodeToken({last.Text(last.size() - 2), last.Text(last.size() - 1)});
  return page;
}

}  // namespace sagebrush::control
