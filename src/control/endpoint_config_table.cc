#include "control/endpoint_config_table.h"

#include "control/list_query.h"
#include "wire/json.h"

namespace sagebrush::control {

namespace sm = gen::sagemaker;

Result<void> EndpointConfigTable::Insert(const EndpointConfigRecord& record, const std::string& arn,
                                         const std::string& invocation_id) {
  const sm::CreateEndpointConfigInput& request = record.request;
  return rows_.Insert({request.EndpointConfigName, arn, wire::ToJson(request), record.created_ms, request.Tags},
                      invocation_id);
}

Result<EndpointConfigRecord> EndpointConfigTable::Get(const std::string& name) {
  TRY(RequestRows::StoredRow row, rows_.Get(name));
  EndpointConfigRecord record;
  TRY(record.request, wire::FromJson<sm::CreateEndpointConfigInput>(row.request));
  record.created_ms = row.created_ms;
  return record;
}

Result<void> EndpointConfigTable::Remove(const std::string& name, const std::string& arn) {
  return rows_.Remove(name, arn);
}

Result<sm::ListEndpointConfigsOutput> EndpointConfigTable::List(
    const sm::ListEndpointConfigsInput& request, const std::function<std::string(const std::string&)>& arn_of) {
  TRY(ListPage page, ReadListPage(database_, kTable, "name, created_ms", ListOptionsOf(request)));
  sm::ListEndpointConfigsOutput output;
  output.NextToken = std::move(page.next_token);
  for (const db::Row& row : page.rows) {
    output.EndpointConfigs.push_back({row.Text(0), arn_of(row.Text(0)), wire::Timestamp{row.Int(1)}});
  }
  return output;
}

}  // namespace sagebrush::control
