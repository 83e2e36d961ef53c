#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/database.h"
#include "wire/shape.h"

namespace sagebrush::control {

// What the List operations filter, sort and page by; ListOptionsOf fills it from any of their requests.
struct ListOptions {
  std::optional<std::string> sort_by;     // CreationTime (the default), Name or Status
  std::optional<std::string> sort_order;  // Descending (the default) or Ascending
  std::optional<std::string> next_token, name_contains, status_equals;
  std::optional<int64_t> max_results;  // 10 by default
  std::optional<wire::Timestamp> created_after, created_before, modified_after, modified_before;
};

template <class Request>
ListOptions ListOptionsOf(const Request& request) {
  ListOptions options;
  options.sort_by = request.SortBy;
  options.sort_order = request.SortOrder;
  options.next_token = request.NextToken;
  options.name_contains = request.NameContains;
  options.max_results = request.MaxResults;
  options.created_after = request.CreationTimeAfter;
  options.created_before = request.CreationTimeBefore;
  if constexpr (requires { request.LastModifiedTimeAfter; }) {
    options.modified_after = request.LastModifiedTimeAfter;
    options.modified_before = request.LastModifiedTimeBefore;
  }
  if constexpr (requires { request.StatusEquals; }) options.status_equals = request.StatusEquals;
  return options;
}

struct ListPage {
  std::vector<db::Row> rows;              // the columns asked for
  std::optional<std::string> next_token;  // when rows follow
};

// One page of a table with the columns name, created_ms, and modified_ms and status where the options speak of them.
// `columns` is what the rows hold, as SQL. The token holds sort value and name of the last row shown, so that pages
// stay right while rows are added and removed. ValidationException for a token that is none.
Result<ListPage> ReadListPage(Database& database, std::string_view table, std::string_view columns,
                              const ListOptions& options);

}  // namespace sagebrush::control
