#include "control/endpoint_table.h"

#include "base/failpoint.h"
#include "control/list_query.h"
#include "control/request_rows.h"
#include "control/tag_table.h"

namespace sagebrush::control {
namespace {

namespace sm = gen::sagemaker;

Error Unknown(const EndpointName& name) {
  return Error(ErrorKind::kNotFound, "Could not find endpoint \"" + name.value() + "\".", "ValidationException");
}

Result<domain::EndpointState> Read(db::Transaction& tx, const EndpointName& name) {
  TRY(auto rows, tx.Query("SELECT state FROM endpoints WHERE name = ?", {name.value()}));
  if (rows.empty()) return Fail(Unknown(name));
  return domain::EndpointStateFromJson(rows[0].Text(0));
}

}  // namespace

Result<void> EndpointTable::Insert(const EndpointName& name, const domain::EndpointState& state, const std::string& arn,
                                   const std::vector<sm::Tag>& tags, const std::string& invocation_id) {
  FAILPOINT("control.endpoint.create.before_commit");
  TRYV(database_.Write([&](db::Transaction& tx) -> Result<void> {
    TRY(bool before, CreatedBefore(tx, "endpoints", "endpoint", name.value(), arn, invocation_id));
    if (before) return {};
    TRYV(
        tx.Execute("INSERT INTO endpoints (name, status, created_ms, modified_ms, invocation_id, state) "
                   "VALUES (?, ?, ?, ?, ?, ?)",
                   {name.value(), std::string(ToString(state.status)), state.created_ms, state.modified_ms,
                    invocation_id, domain::ToJson(state)}));
    return SetTags(tx, arn, tags);
  }));
  FAILPOINT("control.endpoint.create.after_commit");
  return {};
}

Result<domain::EndpointState> EndpointTable::Get(const EndpointName& name) {
  domain::EndpointState state;
  TRYV(database_.Read([&](db::Transaction& tx) -> Result<void> {
    TRY(state, Read(tx, name));
    return {};
  }));
  return state;
}

Result<std::vector<EndpointName>> EndpointTable::All() {
  std::vector<EndpointName> names;
  TRYV(database_.Read([&](db::Transaction& tx) {
    return tx.ForEach("SELECT name FROM endpoints ORDER BY created_ms, name", {}, [&names](const db::Row& row) {
      names.emplace_back(row.Text(0));
      return true;
    });
  }));
  return names;
}

Result<sm::ListEndpointsOutput> EndpointTable::List(const sm::ListEndpointsInput& request,
                                                    const std::function<std::string(const std::string&)>& arn_of) {
  TRY(ListPage page,
      ReadListPage(database_, "endpoints", "name, created_ms, modified_ms, status", ListOptionsOf(request)));
  sm::ListEndpointsOutput output;
  for (const db::Row& row : page.rows) {
    sm::EndpointSummary summary;
    summary.EndpointName = row.Text(0);
    summary.EndpointArn = arn_of(row.Text(0));
    summary.CreationTime.ms = row.Int(1);
    summary.LastModifiedTime.ms = row.Int(2);
    summary.EndpointStatus = row.Text(3);
    output.Endpoints.push_back(std::move(summary));
  }
  output.NextToken = std::move(page.next_token);
  return output;
}

Result<domain::EndpointState> EndpointTable::Update(const EndpointName& name, const Change& change) {
  domain::EndpointState state;
  TRYV(database_.Write([&](db::Transaction& tx) -> Result<void> {
    TRY(state, Read(tx, name));
    TRYV(change(state));
    TRYV(tx.Execute("UPDATE endpoints SET status = ?, modified_ms = ?, state = ? WHERE name = ?",
                    {std::string(ToString(state.status)), state.modified_ms, domain::ToJson(state), name.value()}));
    return {};
  }));
  return state;
}

Result<void> EndpointTable::Remove(const EndpointName& name, const std::string& arn) {
  return database_.Write([&](db::Transaction& tx) -> Result<void> {
    TRYV(tx.Execute("DELETE FROM endpoints WHERE name = ?", {name.value()}));
    return SetTags(tx, arn, {});
  });
}

}  // namespace sagebrush::control
