#include "control/model_table.h"

#include "control/list_query.h"
#include "wire/json.h"

namespace sagebrush::control {

namespace sm = gen::sagemaker;

Result<void> ModelTable::Insert(const ModelRecord& record, const std::string& arn, const std::string& invocation_id) {
  const sm::CreateModelInput& request = record.request;
  return rows_.Insert({request.ModelName, arn, wire::ToJson(request), record.created_ms, request.Tags}, invocation_id);
}

Result<ModelRecord> ModelTable::Get(const std::string& name) {
  TRY(RequestRows::StoredRow row, rows_.Get(name));
  ModelRecord record;
  TRY(record.request, wire::FromJson<sm::CreateModelInput>(row.request));
  record.created_ms = row.created_ms;
  return record;
}

Result<void> ModelTable::Remove(const std::string& name, const std::string& arn) { return rows_.Remove(name, arn); }

Result<sm::ListModelsOutput> ModelTable::List(const sm::ListModelsInput& request,
                                              const std::function<std::string(const std::string&)>& arn_of) {
  TRY(ListPage page, ReadListPage(database_, kTable, "name, created_ms", ListOptionsOf(request)));
  sm::ListModelsOutput output;
  output.NextToken = std::move(page.next_token);
  for (const db::Row& row : page.rows) {
    output.Models.push_back({row.Text(0), arn_of(row.Text(0)), wire::Timestamp{row.Int(1)}});
  }
  return output;
}

}  // namespace sagebrush::control
